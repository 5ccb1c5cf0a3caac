"""What listeners hear, and in which order; with a pool that derives nothing."""

from types import SimpleNamespace

import pytest

from hyperdiag.data.shard import InputFile, Shard
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.run.monitoring import monitor as monitor_module
from hyperdiag.run.monitoring.failures import Failures
from hyperdiag.run.monitoring.monitor import Listener, Monitor
from hyperdiag.run.monitoring.totals import Totals
from hyperdiag.run.output.receipt import Failed, Receipt, Tally


class Heard(Listener):
    """Writes down what it hears."""

    def __init__(self, name, calls):
        self._name, self._calls = name, calls

    def started(self, snapshot):
        self._calls.append((self._name, "started", snapshot))

    def done(self, receipt):
        self._calls.append((self._name, "done", receipt))

    def failed(self, failed):
        self._calls.append((self._name, "failed", failed))

    def tick(self, snapshot):
        self._calls.append((self._name, "tick", snapshot))

    def ended(self):
        self._calls.append((self._name, "ended", None))


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(monitor_module.time, "monotonic", lambda: clock.now)
    return clock


def _inventory(shards=4, count=1, read=10):
    tally = Tally(read=read)
    return SimpleNamespace(shards=shards, count=count, tally=tally)


def _receipt(shard, rows=10, **fields):
    seconds = {"read": 1.0, "compute": 2.0, "verify": 0.0, "write": 0.5}
    return Receipt(shard, Tally(read=rows, derived=rows), seconds, **fields)


def test_all_listeners_hear_all_in_order(clock):
    calls = []
    inventory = _inventory()
    pool = SimpleNamespace(workers=2, retries=3, rows_under_way=lambda: 7)
    listeners = [Heard("a", calls), Heard("b", calls)]
    monitor = Monitor(inventory, 40, 88.0, listeners)
    monitor.started(pool)
    clock.now += 5
    receipt, failed = _receipt(1), Failed(Shard(2, None, 0, 0, 0, 1), 3, "no")
    inventory.count, inventory.tally.read = 2, 20
    inventory.tally.quarantined["nan"] = 4
    monitor.done(receipt)
    monitor.failed(failed)
    monitor.tick()
    monitor.ended()
    assert [call[:2] for call in calls] == [
        (name, event)
        for event in ("started", "done", "failed", "tick", "ended")
        for name in ("a", "b")
    ]
    started, tick = calls[0][2], calls[6][2]
    assert (calls[2][2], calls[4][2]) == (receipt, failed)
    assert (started.shards, started.shards_before, started.shards_done) == (4, 1, 1)
    assert (started.start_seconds, started.seconds) == (12, 0)
    assert (tick.shards_before, tick.shards_done) == (1, 2)
    assert (tick.rows, tick.rows_before, tick.rows_done, tick.rows_read) == (40, 10, 20, 27)
    assert (tick.workers, tick.retries, tick.seconds) == (2, 3, 5)
    assert tick.quarantined == {"nan": 4}


def test_totals_are_of_this_command_alone(clock):
    totals = Totals()
    totals.ended()
    assert (totals.work.workers, totals.work.seconds) == (0, 0)
    monitor = Monitor(_inventory(), 40, 88.0, [totals])
    monitor.started(SimpleNamespace(workers=2, retries=0, rows_under_way=lambda: 0))
    monitor.done(_receipt(1, batch=64))
    monitor.done(_receipt(2, rows=5, batch=32))
    clock.now += 5
    monitor.ended()
    work = totals.work
    assert (work.workers, work.start_seconds, work.seconds, work.rows) == (2, 12, 5, 15)
    assert (work.stages["compute"], work.batch) == (4, 32)


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
    inventory = SimpleNamespace(shards=99, count=3, missing=lambda plan: iter(left))
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
    failures.done(_receipt(50))
    assert not failures.all_will_fail()


def test_run_without_failures_passes():
    Failures(_inventory(), plan=None).check()
