"""Runs whose workers, nodes and driver are really killed end with the bytes of undisturbed ones.

`make chaos` disturbs many runs at random, HYPERDIAG_CHAOS_RUNS of them (60) from the seed
HYPERDIAG_CHAOS_SEED (0) on: one that fails is repeated with its seed and one run.
"""

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from hyperdiag.run.derive import derive

from .cluster import Cluster
from .course import DRIVER, FROZEN, NODE, WORKER, Course, Event, draw
from .subject import check_output, make_subject

_FIRST = int(os.environ.get("HYPERDIAG_CHAOS_SEED", "0"))
_RUNS = int(os.environ.get("HYPERDIAG_CHAOS_RUNS", "60"))
_LIMIT_SECONDS = 240.0


@pytest.fixture(scope="session")
def cluster():
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    return make_subject(tmp_path_factory.mktemp("large"), 5, 80_000, 5000, "local")


@pytest.fixture
def disturb(configure, short_folder):
    """Run a subject with events befalling it, and hold the outcome against the oracle."""

    def disturbed(subject, events, cluster, name):
        output = short_folder / "out"
        where = ["cluster=local"]
        if cluster:
            cluster.restore()
            # Each node has but one worker, and all nodes have the same cores.
            where = ["cluster=existing", f"cluster.address={cluster.address}", "cluster.pin=false"]
        command = [*subject.command, f"output.path={output}"]
        course = Course([*command, *where], output, cluster)
        began = time.monotonic()
        verdict = "FAILED"
        try:
            course.run(events, _LIMIT_SECONDS)
            check_output(subject, output)
            _check_resume(configure, command, output)
            check_output(subject, output)
            _check_verify(output)
            verdict = "ok"
        finally:
            seconds = time.monotonic() - began
            history = "; ".join(course.history)
            print(f"{name}: {history}; {course.resumes} resumes, {seconds:.1f} s, {verdict}")

    return disturbed


def _check_resume(configure, command, output):
    """Assert that the same command once more does nothing but tidy up."""
    configured = [word for word in command if word != "derive"]
    derive(*configure(*configured, "cluster=inline"))
    assert [*(output / "run/scratch").iterdir()] == []


def _check_verify(output):
    if find_spec("hyperdiag.jobs.verify"):
        subprocess.run(
            [sys.executable, "-m", "hyperdiag", "verify", f"output.path={output}"],
            check=True,
            timeout=120,
            capture_output=True,
        )


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _RUNS))
def test_run_disturbed_at_random_ends_with_the_undisturbed_bytes(seed, large, cluster, disturb):
    on = None if seed % 3 == 0 else cluster
    events = draw(seed, large.shards, large.start_seconds, has_nodes=on is not None)
    disturb(large, events, on, f"seed {seed}, {'cluster' if on else 'local'}")


@pytest.mark.slow
def test_run_that_loses_workers_and_its_driver_ends_with_the_undisturbed_bytes(small, disturb):
    events = [
        Event(WORKER, after=3, delay=0.1),
        Event(FROZEN, after=5, delay=0.0, lasting=1.0, pick=0.9),
        Event(DRIVER, after=8, delay=0.0),
    ]
    disturb(small, events, None, "local")


@pytest.mark.chaos
def test_run_that_loses_a_node_ends_with_the_undisturbed_bytes(small, cluster, disturb):
    disturb(small, [Event(NODE, after=4, delay=0.1, lasting=1.0)], cluster, "cluster")
