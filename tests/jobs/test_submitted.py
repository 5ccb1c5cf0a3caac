"""The entrypoint of submitted runs, in processes of its own."""

import json
import os
import subprocess
import sys
import venv
import zipfile

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hyperdiag.submission.environment import environment
from hyperdiag.submission.package import JobSpec, entrypoint, packed
from tests.submission.texts import arguments as awkward_arguments

# The entrypoint itself; only, what the run would be given is printed instead.
_SHOW = """
import json, sys
import hyperdiag.jobs._command
hyperdiag.jobs._command.run = lambda *_: print(json.dumps(sys.argv[1:]))
import hyperdiag.jobs._submitted
hyperdiag.jobs._submitted.main()
"""


def _unpack(folder, job_spec):
    with packed({}, job_spec) as package, zipfile.ZipFile(package) as opened:
        opened.extractall(folder)


@pytest.fixture
def started(tmp_path):
    """Unpack a job specification and start the entrypoint beside it, as Ray does."""

    def run(job_spec, python=sys.executable, **environment):
        _unpack(tmp_path, job_spec)
        return subprocess.run(
            entrypoint(str(python)),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.mark.slow
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
    _unpack(tmp_path, JobSpec(everything, environment()))
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


@pytest.mark.slow
def test_run_is_done_through_a_shell(started, tmp_path):
    box = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
    done = started(
        JobSpec(
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


def test_cluster_with_other_versions_is_refused(started):
    done = started(JobSpec(["network=chain"], {**environment(), "numpy": "1.0"}))
    assert done.returncode == 2
    assert done.stderr.startswith("hyperdiag: the cluster has numpy ")
    assert done.stderr.count("\n") == 1


def test_cluster_without_hyperdiag_is_refused(started, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)
    done = started(JobSpec(["network=chain"], environment()), bare / "bin/python", PYTHONPATH="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hyperdiag: the cluster has hyperdiag (none) instead of ")
    assert ", ray (none), " in done.stderr
    assert done.stderr.endswith(
        f" in {bare}/bin/python: name another interpreter with submit.python, submit from an "
        "environment like the cluster's, or have it installed with submit.environment=install\n"
    )


def test_cluster_without_the_interpreter_is_refused(started):
    done = started(JobSpec(["network=chain"], environment()), "no 'such' \\python")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hyperdiag: the cluster has no no 'such' \\python: name its ")


def test_run_without_a_job_specification_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hyperdiag.jobs._submitted"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2
    assert "not a command of its own" in done.stderr
