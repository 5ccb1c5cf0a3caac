"""What listeners hear, and in which order; with a pool that derives nothing."""

from types import SimpleNamespace

import pytest

from hyperdiag.data.shard import Shard
from hyperdiag.run.monitoring import monitor as monitor_module
from hyperdiag.run.monitoring.monitor import Listener, Monitor
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


def test_all_listeners_hear_all_in_order(clock):
    calls = []
    inventory = SimpleNamespace(shards=4, count=1, tally=Tally(read=10))
    pool = SimpleNamespace(workers=2, retries=3, rows_under_way=lambda: 7)
    listeners = [Heard("a", calls), Heard("b", calls)]
    monitor = Monitor(inventory, 40, 88.0, listeners)
    monitor.started(pool)
    clock.now += 5
    receipt, failed = Receipt(1, Tally()), Failed(Shard(2, None, 0, 0, 0, 1), 3, "no")
    inventory.count, inventory.tally.read = 2, 20
    inventory.tally.quarantined["nan"] = 4
    monitor.done(receipt)
    monitor.failed(failed)
    monitor.tick()
    monitor.ended()
    assert [call[:2] for call in calls] == [
        (name, event)
        for event in ("started", "done", "failed", "tick", "tick", "ended")
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


def test_listeners_hear_of_time_a_few_times_a_second_however_many_shards_are_done(clock):
    calls = []
    inventory = SimpleNamespace(shards=9000, count=0, tally=Tally())
    pool = SimpleNamespace(workers=3000, retries=0, rows_under_way=lambda: 0)
    monitor = Monitor(inventory, 9000, 88.0, [Heard("a", calls)])
    monitor.started(pool)
    for shard in range(2000):
        inventory.count += 1
        monitor.done(Receipt(shard, Tally()))
        monitor.tick()
        clock.now += 0.0005
    monitor.ended()
    events = [event for _, event, _ in calls]
    assert events.count("done") == 2000
    assert events.count("tick") == 5
    # The last one says how it stands at the end.
    assert events[-2:] == ["tick", "ended"]
    assert calls[-2][2].shards_done == 2000
