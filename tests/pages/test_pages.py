"""Pages for people: what they tell the reader to type works, and what they name is there."""

import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from hyperdiag.config.reference import config_files
from hyperdiag.config.schema import load_config
from hyperdiag.jobs.__main__ import job_names
from hyperdiag.jobs._arguments import hydra_arguments
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.jobs._overrides import check_overrides
from tests.pages.markdown import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    code_in_lines,
    commands,
    links,
    read,
)
from tests.pages.player import Player, same, write_file

PLAYED = [p for p in PAGES if {b.language for b in blocks(read(p))} & {"python", "console"}]
LONG_PAGES = ["conf/README.md", "pipeline/networks/README.md", "pipeline/run/README.md"]
PLAY = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.pages.player import main; main()"

KEYS = {key.name for file in config_files() for key in file.keys}
GROUPS = {name.partition(".")[0] for name in KEYS if "." in name}
# What an example of CONTRIBUTING.md adds.
EXAMPLES = {"network.scale"}

# Files of examples, and of users.
_INVENTED = re.compile(r"(?:.*/)?(?:mine|ipc|pipeline)\.(?:py|yaml)")
_COMMAND = re.compile(r"^ *(?:[A-Z_]+=\S+ )*hyperdiag (\w+)((?:\\\n|[^\n])*)", re.M)
_TOP_LEVEL = r"(?:pipeline|conf|jobs|tests|deploy|\.ci|\.src)/"


def command_lines(texts=None):
    """Return page, job and arguments of each command in a block of whatever language."""
    return [
        (page, job, shlex.split(rest.replace("\\\n", " "), comments=True))
        for page, text in (texts or {page: read(page) for page in PAGES}).items()
        for block in blocks(text)
        for job, rest in _COMMAND.findall(_without_output(block))
    ]


def _without_output(block):
    if block.language != "console":
        return block.text
    found = commands(block)
    # What `echo $?` is asked of may be wrong on purpose; the player knows.
    asked = {at - 1 for at, command in enumerate(found) if command.text == "echo $?\n"}
    return "".join(command.text for at, command in enumerate(found) if at not in asked)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] * (p in LONG_PAGES)) for p in PLAYED]
)
def test_page_does_what_it_says(page, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PLAY, page],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_are_found_in_every_kind_of_block():
    found = command_lines()
    assert {job for _, job, _ in found} >= {"derive", "plan", "submit", "schedule", "status"}
    assert {page for page, _, _ in found} >= {"README.md", "deploy/README.md"}


@pytest.mark.parametrize(
    ("page", "job", "arguments"),
    command_lines(),
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60],
)
def test_command_of_a_page_is_a_valid_configuration(page, job, arguments, tmp_path, monkeypatch):
    assert job in job_names()
    monkeypatch.chdir(tmp_path)
    for block in blocks(read(page)):
        write_file(block)  # for `--config-dir`
    given = hydra_arguments(CONFIG_DIR, [word for word in arguments if word != "..."])
    assert check_overrides(CONFIG_DIR, job, given) == []
    if job in ("derive", "plan", "submit") and all("=" in word for word in arguments):
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            composed = compose(job, given)
        with open_dict(composed):
            for section in ("submit", "cost", "format"):
                composed.pop(section, None)
        load_config(composed)  # so the values are such as a run takes, too


def test_command_that_is_wrong_would_be_found():
    wrong = "```sh\nhyperdiag derive \\\n    ouput.path=x   # three\n```\n"
    ((job, arguments),) = [(job, rest) for _, job, rest in command_lines({"a page": wrong})]
    assert check_overrides(CONFIG_DIR, job, arguments) != []


@pytest.mark.parametrize(
    ("page", "container"),
    [("CONTRIBUTING.md", "hyperdiag"), ("pipeline/run/README.md", "hyperdiag.run")],
)
def test_layers_of_a_page_are_those_that_lint_holds(page, container):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [c for c in settings["contracts"] if c.get("containers") == [container]]
    layers = [layer for layer in contract["layers"] if layer != "__main__"]
    assert "\n".join(layers) + "\n" in [block.text for block in blocks(read(page))]


@pytest.mark.parametrize("page", PAGES)
def test_keys_that_a_page_names_are_there(page):
    named = [code.partition("=")[0] for code in code_in_lines(read(page))]
    named = [name for name in named if re.fullmatch(r"[a-z_]+\.(?!(?:py|json|yaml)$)[a-z_]+", name)]
    unknown = {name for name in named if name.partition(".")[0] in GROUPS} - KEYS - EXAMPLES
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    folder = (ROOT / page).parent
    lost = []
    for link in links(read(page)):
        target, _, anchor = link.partition("#")
        path = folder / target if target else ROOT / page
        if re.match(r"[a-z]+:", link):
            continue
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = read(page)
    own = {block.file_name for block in blocks(text)}
    lost = []
    for code in code_in_lines(text):
        if _INVENTED.fullmatch(code):
            continue
        if re.fullmatch(rf"{_TOP_LEVEL}[\w./*-]*", code):
            found = list(ROOT.glob(code.rstrip("/")))
        elif re.fullmatch(r"[\w./]+\.py", code) and code not in own:
            found = list((ROOT / page).parent.rglob(code))
        else:
            continue
        if not found:
            lost.append(code)
    assert lost == []


@pytest.mark.parametrize(
    ("wanted", "got", "is_same"),
    [
        ("plan 0123456789abcdef: 20 rows", "plan fedcba9876543210: 20 rows", True),
        ("plan 0123456789abcdef: 20 rows", "plan fedcba9876543210: 21 rows", False),
        ("12:00:01 1 worker ready after 2.5 s", "07:31:59 1 worker ready after 1 min 20 s", True),
        ("largest error 1.8e-05 of", "largest error 3.0e-06 of", True),
        ("first\n...\nlast", "first\nany\nthing\nlast", True),
        ("first\n...\nlast", "first\nany\nthing", False),
        ("f, by hyperdual\nlast", "f, by double_forward\nlast", True),
        ("f, by hyperdual\nlast", "g, by double_forward\nlast", False),
        ("a  b", "a b", True),
        ("a b", "a c", False),
    ],
)
def test_output_is_compared_but_for_what_differs_each_time(wanted, got, is_same):
    assert same(wanted, got) == is_same


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "says\n2"),
        ("```python\nx = 1\n```\n```python\nassert x == 2\n```\n", "AssertionError"),
        ("```console\n$ false\n```\n", "ended with 1"),
        ("```console\n$ false\n$ echo $?\n0\n```\n", "says\n0"),
        ("```console\n$ cat mine.py\nx\n```\n```python\n# mine.py\n```\n", "ended with 1"),
        ("```console\n$ echo a \\\n    b\na c\n```\n", "says\na c"),
    ],
)
def test_player_finds_what_is_not_as_the_page_says(text, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player = Player("page.md")
    player.play(text)
    assert len(player.faults) == 1
    assert fault in player.faults[0]


def test_player_is_content_with_a_page_that_is_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player = Player("page.md")
    player.play(
        "```python\n# one.py\nprint(1.5)\n```\n\n```text\n1.5\n```\n"
        "```console\n$ cat one.py && pwd\n# one.py\n...\n/home/me\n$ false\n$ echo $?\n1\n```\n"
    )
    assert player.faults == []
