"""deploy/gpu/check.sh: an environment without network, the measurement in it, nothing left."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.test_wheelhouse import wheelhouse

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/gpu/check.sh"
BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"


def check(folder, *arguments, **variables):
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "TMPDIR": str(folder / "tmp"), **variables},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )


@pytest.fixture
def wheels(tmp_path):
    """A folder with hyperdiag's own wheel: all else is here."""
    folder = tmp_path / "wheels"
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--quiet", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (ours,) = folder.glob("*.whl")
    names = wheelhouse.required(ours)
    # Without QLKNN, which need not be here.
    lines = [f"{name}\n" for name in names if not name.startswith("fusion")]
    (folder / "requirements.txt").write_text("".join(lines))
    return folder


def fake_python(folder, text):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_check_without_wheels_says_where_they_come_from(tmp_path):
    done = check(tmp_path, "nowhere")
    assert done.returncode == 2
    assert done.stderr == (
        "check: nowhere: no folder of wheels; 'make wheelhouse PYTHON_VERSION=3.12' fills one "
        "where there is a network\n"
    )
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        (None, "there is no {} here: PYTHON=... names the Python that has JAX"),
        ("exit 1", "{} cannot import JAX: install it, with CUDA, or name another Python"),
        (
            'case "$*" in *venv*) exit 1;; esac',
            "{} makes no virtual environment: Debian and Ubuntu have it in python3-venv",
        ),
    ],
)
def test_check_without_a_fitting_python_says_what_to_do(tmp_path, python, sentence):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/requirements.txt").touch()
    path = fake_python(tmp_path, python) if python else str(tmp_path / "none")
    done = check(tmp_path, "wheels", PYTHON=path)
    assert done.returncode == 2
    assert f"check: {sentence.format(path)}" in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_check_where_a_package_is_missing_names_it_and_leaves_nothing(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/requirements.txt").write_text("hyperdiag-needs-this>=1\n")
    done = check(tmp_path, "wheels")
    assert done.returncode == 2
    assert "No matching distribution found for hyperdiag-needs-this>=1" in done.stderr
    assert f"neither here nor in {tmp_path}/wheels, or not for Python 3." in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_check_measures_in_an_environment_of_its_own(tmp_path, wheels):
    done = check(
        tmp_path,
        *(wheels, "network=chain", BOX, "bench.networks=[chain-5-3-3]", "bench.rows_scale=0.01"),
        **{"OUT": "here/it is", "JAX_PLATFORMS": "cpu", "HYPERDIAG_CACHE": "", "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "here/it is/device.json").read_text())
    assert report["complete"]
    assert report["wrong"] == []
    assert report["kernels"][0]["name"] == "chain-5-3-3"
    assert sorted(path.name for path in (tmp_path / "here/it is").iterdir()) == [
        *("device.json", "device.md"),
    ]
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_check_that_takes_too_long_ends_and_says_where_the_rest_is(tmp_path, wheels):
    done = check(
        tmp_path,
        *(wheels, "network=chain", BOX, "bench.rows_scale=0.01"),
        **{"OUT": "out", "JAX_PLATFORMS": "cpu", "SECONDS_AT_MOST": "3", "PYTHONPATH": ""},
    )
    assert done.returncode == 124
    assert f"check: ended after 3 seconds; what was measured by then is in {tmp_path}/out" in (
        done.stderr
    )
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck")
def test_check_has_no_fault_that_shellcheck_sees():
    subprocess.run(["shellcheck", SCRIPT], check=True, timeout=60)
