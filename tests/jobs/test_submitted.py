"""The entrypoint of submitted runs, in processes of its own."""

import json
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipeline.submission.environment import environment
from pipeline.submission.parcel import Letter, packed
from tests.submission.texts import arguments as awkward_arguments

# The entrypoint itself; only, what the run would be given is printed instead.
_SHOW = """
import json, sys
import jobs._command
jobs._command.run = lambda *_: print(json.dumps(sys.argv[1:]))
import jobs._submitted
jobs._submitted.main()
"""


def _unpack(folder, letter):
    with packed({}, letter) as package, zipfile.ZipFile(package) as opened:
        opened.extractall(folder)


@pytest.fixture
def entrypoint(tmp_path):
    def run(letter=None):
        if letter is not None:
            _unpack(tmp_path, letter)
        return subprocess.run(
            f"exec {sys.executable} -P -m jobs._submitted",
            shell=True,  # as Ray does
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


def test_arguments_arrive_unchanged_in_the_process(tmp_path):
    lists = []

    @settings(
        max_examples=60,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        derandomize=True,
    )
    @given(awkward_arguments)
    def collect(arguments):
        lists.append(arguments)

    collect()
    everything = [argument for arguments in lists for argument in arguments]
    assert len(everything) > 100
    _unpack(tmp_path, Letter(everything, environment()))
    done = subprocess.run(
        [sys.executable, "-P", "-c", _SHOW],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == everything


def test_run_is_done_through_a_shell(entrypoint, tmp_path):
    box = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
    done = entrypoint(
        Letter(
            [
                *("network=chain", box, "dataset.rows=50", "cluster=inline"),
                f"output.path='{tmp_path}/$HOME; `touch x` \"out\"'",
            ],
            environment(),
        )
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / '$HOME; `touch x` "out"/_SUCCESS').exists()
    assert not (tmp_path / "x").exists()


def test_cluster_with_other_versions_is_refused(entrypoint):
    done = entrypoint(Letter(["network=chain"], {**environment(), "numpy": "1.0"}))
    assert done.returncode == 2
    assert done.stderr.startswith("hyperdiag: the cluster has numpy ")
    assert done.stderr.count("\n") == 1


def test_entrypoint_by_itself_is_refused(entrypoint):
    done = entrypoint()
    assert done.returncode == 2
    assert "not a command of its own" in done.stderr
