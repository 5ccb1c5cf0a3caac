"""deploy/gpu/wheelhouse.py: which wheels belong into the folder."""

import importlib.util
import json
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FILE = ROOT / "deploy/gpu/wheelhouse.py"
_SPEC = importlib.util.spec_from_file_location("wheelhouse", _FILE)
wheelhouse = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(wheelhouse)

METADATA = """\
Metadata-Version: 2.4
Name: hyperdiag
Requires-Dist: jax<0.13,>=0.10.2
Requires-Dist: pyarrow!=25.0.0,>=21
Requires-Dist: ray[default]>=2.58
Provides-Extra: bench
Requires-Dist: folx>=0.2.30; extra == 'bench'
Requires-Dist: ray[data]>=2.58; extra == 'bench'
Provides-Extra: examples
Requires-Dist: fusion-surrogates<0.5,>=0.4.7; extra == 'examples'

Requires-Dist: not a header
"""


def _wheel(folder, text):
    path = folder / "hyperdiag-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hyperdiag-0.1.0.dist-info/METADATA", text)
    return path


def test_required_is_all_that_hyperdiag_asks_for_but_ray(tmp_path):
    assert wheelhouse.required(_wheel(tmp_path, METADATA)) == [
        *("jax<0.13,>=0.10.2", "pyarrow!=25.0.0,>=21", "fusion-surrogates<0.5,>=0.4.7"),
    ]


def test_what_needs_no_wheel_is_a_requirement_of_ours():
    """So that a name which has changed is noticed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    assert set(wheelhouse.NOT_NEEDED) <= names
    makefile = (ROOT / "Makefile").read_text()
    there = re.search(r"^THERE +\?= (.*)", makefile, re.M)[1].split()
    assert {"jax", "jaxlib", "numpy", "scipy", "pyarrow"} <= set(there)
    assert set(there) - names == {"ml_dtypes", "opt_einsum"}  # of JAX
    assert wheelhouse.EXTRA in project["optional-dependencies"]
    for name in ("constraints.txt", "constraints-newest.txt"):
        pinned = {line.partition("==")[0] for line in (ROOT / name).read_text().splitlines()}
        assert {*there, *wheelhouse.SOURCE_ONLY} <= pinned


def test_versions_leave_out_what_is_there_however_it_is_spelt():
    packages = {"jax": "0.12.0", "ml-dtypes": "0.6.0", "rich": "15.0.0", "PyYAML": "6.0.4"}
    report = {
        "install": [
            {"metadata": {"name": name, "version": version}}
            for name, version in (packages | {"antlr4-python3-runtime": "4.9.3"}).items()
        ]
    }
    assert wheelhouse.versions(report, ["JAX", "ml_dtypes"]) == ["rich==15.0.0", "PyYAML==6.0.4"]


def test_contents_are_counted_and_too_many_bytes_refused(tmp_path):
    for name, size in (("a-1-py3-none-any.whl", 400_000), ("b-1-py3-none-any.whl", 1_200_000)):
        (tmp_path / name).write_bytes(b"x" * size)
    said = wheelhouse.contents(tmp_path)
    assert said.startswith(f"{tmp_path}: 2 wheels, 1.6 MB; the largest are b-1-py3-none-any.whl")
    with pytest.raises(ValueError, match=r"1\.6 MB; .*; at most 1 MB: name what the machine has"):
        wheelhouse.contents(tmp_path, most_bytes=1_000_000)


def test_folder_is_filled_in_turn_and_its_old_wheels_go(tmp_path, monkeypatch):
    calls = []

    def pip(command, *arguments):
        calls.append((command, arguments))
        if command == "wheel" and str(ROOT) in arguments:
            _wheel(tmp_path, METADATA)
        if command == "install":
            report = {"install": [{"metadata": {"name": "rich", "version": "15.0.0"}}]}
            Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps(report))

    monkeypatch.setattr(wheelhouse, "pip", pip)
    (tmp_path / "rich-1-py3-none-any.whl").touch()
    wheelhouse.fill(tmp_path, "3.12", ROOT / "constraints-newest.txt", ["jax"])
    assert [command for command, _ in calls] == ["wheel", "wheel", "install", "download"]
    asked, downloaded = (arguments for _, arguments in calls[2:])
    for arguments in (asked, downloaded):  # nothing is built, and all is for that machine
        assert "--only-binary=:all:" in arguments
        assert arguments[arguments.index("--python-version") + 1] == "3.12"
        assert "manylinux_2_28_x86_64" in arguments
    assert "--no-deps" in downloaded
    assert downloaded[-1] == "rich==15.0.0"
    assert not (tmp_path / "rich-1-py3-none-any.whl").exists()
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert lines == wheelhouse.required(tmp_path / "hyperdiag-0.1.0-py3-none-any.whl")


def test_pip_that_fails_ends_it(monkeypatch):
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(SystemExit, match=r"^wheelhouse: `pip download --no-deps \.\.\.` failed"):
        wheelhouse.pip("download", "--no-deps", "rich")
