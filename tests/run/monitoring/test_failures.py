"""When a run is given up, and what it then says."""

from types import SimpleNamespace

import pytest

from hyperdiag.data.shard import InputFile, Shard
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.run.monitoring.failures import Failures
from hyperdiag.run.output.receipt import Failed, Receipt, Tally


def _shard(number, file):
    return Shard(number, InputFile(file, 1, 1, (5,), 0), 0, 1, 5 * number, 5)


@pytest.mark.parametrize(
    ("files", "missing", "all_fail"),
    [
        ([f"{number}.parquet" for number in range(10)], ["other.parquet"], True),
        (["a.parquet"] * 10, ["a.parquet"], True),
        (["a.parquet"] * 10, ["a.parquet", "other.parquet"], False),
        ([f"{number}.parquet" for number in range(9)], ["0.parquet"], False),
    ],
    ids=["many files", "all of one file", "one damaged file of two", "too few"],
)
def test_run_is_given_up_only_when_the_others_would_fail_too(files, missing, all_fail):
    left = [_shard(100 + number, file) for number, file in enumerate(missing)]
    done = [False] * 102
    inventory = SimpleNamespace(shards=99, count=3, done=done, missing=lambda plan: iter(left))
    failures = Failures(inventory, plan=None)
    for number, file in enumerate(files):
        failures.failed(Failed(_shard(number, file), 2, f"cause {number}"))
    assert failures.all_will_fail() == all_fail
    with pytest.raises(RunIncomplete) as incomplete:
        failures.check()
    lines = str(incomplete.value).splitlines()
    assert lines[0].startswith(f"{len(files)} of 99 shards failed")
    assert ("stopped there; 3 are done" in lines[0]) == all_fail
    assert lines[2] == f"shard 1 (rows 5 to 9 of {files[1]}, 2 attempts): cause 1"
    assert lines[6:] == [f"and {len(files) - 5} more"]
    failures.done(Receipt(50, Tally()))
    assert not failures.all_will_fail()


def test_shards_that_are_left_are_looked_through_only_when_that_may_have_changed():
    """Of millions, after each receipt, it would take all of the driver's time."""
    left = [_shard(0, "a.parquet"), *(_shard(number, f"{number}.parquet") for number in (1, 2))]
    looks = []

    def missing(plan):
        looks.append(plan)
        return (shard for shard in left if not inventory.done[shard.id])

    inventory = SimpleNamespace(shards=9, count=3, done=[False] * 20, missing=missing)
    failures = Failures(inventory, plan=None)
    for number in range(3, 18):
        failures.failed(Failed(_shard(number, "a.parquet"), 2, "cause"))
        assert not failures.all_will_fail()
    assert len(looks) == 1
    inventory.done[1] = True
    assert not failures.all_will_fail()
    inventory.done[2] = True
    assert failures.all_will_fail()
    assert len(looks) == 3


def test_run_without_failures_passes():
    Failures(SimpleNamespace(shards=9, count=9), plan=None).check()
