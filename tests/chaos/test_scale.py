import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# For each million shards, how often the fixed work of `tests.chaos.scale` could be done meanwhile
# (1.7 s where planning them takes 55 s and publishing 90 s); and memory, at most for all of them.
YARDSTICKS, MEGABYTES, MOST_MEGABYTES = 75, 1200, 4000


@pytest.fixture
def step():
    """Take a step of `tests.chaos.scale` in a process of its own; return what it cost."""
    # In memory, where there is such a place: a million files are a burden to a disk.
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="hdc-", dir=shared if shared.exists() else None))

    def take(name, shards, groups=1):
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.scale", name, str(shards), folder, str(groups)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=2400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        cost = json.loads(done.stdout.splitlines()[-1])
        print(name, f"{shards:,}", cost)
        return cost

    yield take
    shutil.rmtree(folder)


def _check_cost(cost, shards):
    # Time of this process: what else the machine does must not decide.
    millions = max(shards / 1_000_000, 1)
    assert cost["seconds"] < YARDSTICKS * cost["yardstick"] * millions
    assert cost["megabytes"] < min(MEGABYTES * millions, MOST_MEGABYTES)


def _planning(step, shards, groups):
    cost = step("plan", shards, groups)
    assert cost["rows"] == 100 * shards
    _check_cost(cost, shards)


def _resuming(step, shards, groups=1):
    step("journal", shards, groups)
    cost = step("resume", shards, groups)  # which checks that a thousandth is left
    assert cost["rows"] == 100 * (shards - shards // 1000)
    _check_cost(cost, shards)


def _finishing(step, shards, groups=1):
    cost = step("finish", shards, groups)
    assert cost["rows"] == 100 * shards
    _check_cost(cost, shards)


def _publishing(step, shards):
    step("staged", shards)
    cost = step("publish", shards)
    assert cost["rows"] == 100 * shards
    _check_cost(cost, shards)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("groups", [1, 20])
def test_twenty_thousand_shards_are_planned(step, groups):
    _planning(step, 20_000, groups)


@pytest.mark.slow
def test_twenty_thousand_shards_are_resumed_and_published(step):
    _resuming(step, 20_000)
    _finishing(step, 20_000)


@pytest.mark.slow
def test_update_of_twenty_thousand_shards_is_published(step):
    _publishing(step, 20_000)


@pytest.mark.chaos
@pytest.mark.timed
@pytest.mark.parametrize("groups", [1, 1000])
def test_a_million_shards_are_planned_in_time_and_memory(step, groups):
    _planning(step, 1_000_000, groups)


@pytest.mark.chaos
@pytest.mark.timed
def test_ten_million_shards_are_planned_resumed_and_published_in_time_and_memory(
    step,
):
    _planning(step, 10_000_000, 1000)
    _resuming(step, 10_000_000, 1000)
    _finishing(step, 10_000_000, 1000)


@pytest.mark.chaos
@pytest.mark.timed
def test_a_million_shards_are_resumed_in_time_and_memory(step):
    _resuming(step, 1_000_000)


@pytest.mark.chaos
@pytest.mark.timed
def test_a_million_shards_are_published_in_time_and_memory(step):
    _publishing(step, 1_000_000)
