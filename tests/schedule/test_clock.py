"""The clock, in real time: a tick each second."""

import sqlite3
import time
from datetime import UTC, datetime

import pytest

from hyperdiag.schedule import clock as clock_module
from hyperdiag.schedule.clock import Clock
from hyperdiag.schedule.entry import read_entries
from hyperdiag.schedule.history import FILE

from .nightly import wait


class Seen:
    """Clocks on one folder, and what they called for."""

    def __init__(self, folder):
        self.folder, self.ticks, self.failures = folder, [], []
        self.take = lambda name, due: self.ticks.extend((name, tick) for tick in due)

    def entries(self, **every):
        (self.folder / "entries").mkdir(exist_ok=True)
        for path in (self.folder / "entries").iterdir():
            path.unlink()
        for name, text in every.items():
            (self.folder / f"entries/{name}.yaml").write_text(f"every: {text}")
        return read_entries([self.folder / "entries"])

    def clock(self):
        return Clock(self.folder, lambda *given: self.take(*given), self.failures.append)

    def seconds(self, name="a"):
        return [int(tick.timestamp()) for each, tick in self.ticks if each == name]


@pytest.fixture
def seen(tmp_path):
    return Seen(tmp_path)


def is_whole(seconds):
    return seconds == list(range(seconds[0], seconds[-1] + 1))


def test_clock_calls_for_every_tick_those_included_that_came_without_it(seen):
    entries = seen.entries(a="1s", b="1h")
    clock = seen.clock()
    clock.start(entries)
    wait(lambda: len(seen.ticks) >= 2)
    clock.stop()
    first = len(seen.ticks)
    assert {tick.tzinfo for _, tick in seen.ticks} == {UTC}
    time.sleep(2.2)
    assert len(seen.ticks) == first
    clock = seen.clock()
    clock.start(entries)
    # When it has begun, what was missed is known.
    assert len(seen.ticks) >= first + 2
    wait(lambda: len(seen.ticks) >= first + 4)
    clock.stop()
    assert is_whole(seen.seconds())
    assert seen.seconds("b") in ([], [seen.seconds("b")[0]] if seen.seconds("b") else [])
    assert seen.failures == []


def test_new_or_changed_entry_begins_now_and_one_that_is_gone_ends(seen):
    clock = seen.clock()
    clock.start(seen.entries(a="1s", b="1s"))
    wait(lambda: len(seen.ticks) >= 2)
    clock.stop()
    time.sleep(1.2)  # a tick is missed
    seen.ticks.clear()
    clock = seen.clock()
    began = datetime.now(UTC)
    clock.start(seen.entries(a="2s", c="1s"))
    wait(lambda: len(seen.ticks) >= 3 and seen.seconds())
    assert {name for name, _ in seen.ticks} == {"a", "c"}
    assert min(tick for _, tick in seen.ticks) > began
    # The same while it is at work.
    clock.keep(seen.entries(c="1s"))
    seen.ticks.clear()
    wait(lambda: len(seen.ticks) >= 2)
    clock.stop()
    assert {name for name, _ in seen.ticks} == {"c"}
    assert is_whole(seen.seconds("c"))


def test_tick_that_cannot_be_entered_is_not_lost(seen, monkeypatch):
    monkeypatch.setattr(clock_module, "_RETRY_SECONDS", 0.1)
    refused = []
    take = seen.take

    def full(name, due):
        if len(refused) < 12:
            refused.append(due)
            raise sqlite3.OperationalError("database or disk is full")
        take(name, due)

    seen.take = full
    clock = seen.clock()
    clock.start(seen.entries(a="1s"))
    wait(lambda: len(seen.ticks) >= 3)
    clock.stop()
    assert seen.seconds()[0] == int(refused[0][0].timestamp())
    assert is_whole(seen.seconds())


def test_clock_that_dies_says_so(seen):
    """As it does when the disk is full: the library's thread would end without a word."""

    def spoil(name, due):
        connection = sqlite3.connect(seen.folder / FILE)
        connection.execute("DROP TABLE apscheduler_jobs")
        connection.close()

    seen.take = spoil
    clock = seen.clock()
    clock.start(seen.entries(a="1s"))
    wait(lambda: seen.failures)
    assert "no such table" in str(seen.failures[0])
    clock.stop()
