"""conf/README.md is what the comments in conf/ make it, and no key is without one."""

import pytest
import yaml

from hyperdiag.config import reference

FILES = reference.config_files()


def test_page_is_what_the_files_say():
    _, mark, written = reference.PAGE.read_text().partition(reference.MARK)
    assert mark, "run python -m hyperdiag.config.reference"
    assert written.lstrip("\n") == reference.reference(), "run python -m hyperdiag.config.reference"


def test_every_file_is_in_it():
    named = {path.relative_to(reference.CONF) for path in reference.CONF.rglob("*.yaml")}
    assert {file.path for file in FILES} == {path for path in named if path.name[0] != "_"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.path))
def test_every_file_and_every_key_has_a_comment(file):
    assert file.description
    assert [key.name for key in file.keys if not key.meaning] == []


def test_keys_are_those_that_hydra_composes(configure):
    kinds = [file.path.stem for file in FILES if file.path.parent.name == "derived"]
    chosen = f"derived=[{','.join(kinds)}]", "derived.mine.target=a:b"
    _, composed = configure("dataset=parquet", "dataset.path=rows", *chosen)
    sections = yaml.safe_load(composed)
    derived = sections.pop("derived")
    assert sorted(derived) == kinds
    for kind in kinds:
        (file,) = [f for f in FILES if str(f.path) == f"derived/{kind}.yaml"]
        assert [key.name for key in file.keys] == [f"derived.{kind}.{key}" for key in derived[kind]]
    for section, values in sections.items():
        option = values.get("name", "default")
        (file,) = [f for f in FILES if str(f.path) == f"{section}/{option}.yaml"]
        assert [key.name for key in file.keys] == [f"{section}.{key}" for key in values]


def test_comment_belongs_to_the_key_below_it(tmp_path, monkeypatch):
    (tmp_path / "group").mkdir()
    text = "# Head,\n# of two lines.\n\n# Of a|b.\na: [1,\n  2]\nb:\n  # Deep.\n  c: ???\n  d: x\n"
    (tmp_path / "group/one.yaml").write_text(text)
    monkeypatch.setattr(reference, "CONF", tmp_path)
    file = reference.read_config(reference.Path("group/one.yaml"))
    assert file.title == "group=one"
    assert file.description == "Head, of two lines."
    assert file.keys == [
        ("group.a", "[1, 2]", "Of a|b."),
        ("group.b.c", "???", "Deep."),
        ("group.b.d", "x", ""),
    ]


def test_head_that_is_a_comment_of_the_first_key_is_no_description(tmp_path, monkeypatch):
    (tmp_path / "one.yaml").write_text("# Of a.\na: 1\n")
    monkeypatch.setattr(reference, "CONF", tmp_path)
    file = reference.read_config(reference.Path("one.yaml"))
    assert (file.title, file.description) == ("hyperdiag one", "")
    assert file.keys == [("a", "1", "Of a.")]
