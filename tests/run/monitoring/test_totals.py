"""What a command adds up for its manifest."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hyperdiag.run.monitoring import totals as totals_module
from hyperdiag.run.monitoring.totals import Totals
from hyperdiag.run.output.receipt import Receipt, Tally

from .test_progress import SNAPSHOT


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(totals_module.time, "monotonic", lambda: clock.now)
    return clock


def _receipt(shard, rows, batch):
    seconds = {"read": 1.0, "compute": 2.0, "verify": 0.0, "write": 0.5}
    return Receipt(shard, Tally(read=rows, derived=rows), seconds, batch=batch)


def test_totals_are_of_what_was_done_between_start_and_end(clock):
    totals = Totals()
    totals.started(replace(SNAPSHOT, start_seconds=12.0))
    totals.done(_receipt(1, rows=10, batch=64))
    totals.done(_receipt(2, rows=5, batch=32))
    clock.now += 5
    totals.ended()
    work = totals.work
    assert (work.workers, work.start_seconds, work.seconds, work.rows) == (2, 12, 5, 15)
    assert (work.stages["compute"], work.batch) == (4, 32)


def test_work_that_never_began_took_no_time(clock):
    totals = Totals()
    totals.ended()
    assert (totals.work.workers, totals.work.seconds, totals.work.rows) == (0, 0, 0)
