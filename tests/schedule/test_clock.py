"""The clock: in real time, a tick each second; and where what tells it the time is set."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.schedule import clock as clock_module
from hyperdiag.schedule.clock import Clock
from hyperdiag.schedule.entry import read_entries
from hyperdiag.schedule.kept_entries import KeptEntries

from .nightly import wait


class Seen:
    """Clocks on one folder, and what they called for."""

    def __init__(self, folder):
        self.folder, self.ticks, self.failures, self.set_clocks = folder, [], [], []
        self.take = lambda name, due: self.ticks.extend((name, tick) for tick in due)

    def due(self, entry, ticks):
        self.take(entry.name, ticks)

    def clock_went_back(self, entry, now):
        self.set_clocks.append((entry.name, "back"))

    def clock_came_back(self, entry, now):
        self.set_clocks.append((entry.name, "right"))

    def failed(self, error):
        self.failures.append(error)

    def entries(self, **every):
        (self.folder / "entries").mkdir(exist_ok=True)
        for path in (self.folder / "entries").iterdir():
            path.unlink()
        for name, text in every.items():
            (self.folder / f"entries/{name}.yaml").write_text(f"every: {text}")
        return read_entries([self.folder / "entries"])

    def clock(self):
        return Clock(self.folder, self)

    def seconds(self, name="a"):
        return [int(tick.timestamp()) for each, tick in self.ticks if each == name]


@pytest.fixture
def seen(tmp_path):
    return Seen(tmp_path)


def is_whole(seconds):
    return seconds == list(range(seconds[0], seconds[-1] + 1))


@pytest.mark.slow
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


@pytest.mark.slow
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
    def spoil(name, due):
        raise ZeroDivisionError

    seen.take = spoil
    clock = seen.clock()
    clock.start(seen.entries(a="1s"))
    wait(lambda: seen.failures)
    assert isinstance(seen.failures[0], ZeroDivisionError)
    clock.stop()


NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
DAYS = timedelta(days=1)


class SetClock:
    """A clock that looks when it is told to, at a time that it is told."""

    def __init__(self, seen, monkeypatch):
        self.now, self._seen = NOW, seen
        monkeypatch.setattr(clock_module, "_now", lambda: self.now)
        self.clock = None

    def begin(self, **every):
        """Start a scheduler's clock, as after a restart."""
        self.clock = self._seen.clock()
        self.clock.keep(self._seen.entries(**every))

    def look(self, put_forward=False):
        """Look; return the ticks that were called for."""
        self._seen.ticks.clear()
        self.clock._look(put_forward)
        return [tick for _, tick in self._seen.ticks]

    def next(self, name="a"):
        return KeptEntries(self._seen.folder).all()[name].next


@pytest.fixture
def set_clock(seen, monkeypatch):
    return SetClock(seen, monkeypatch)


MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("ahead", [timedelta(hours=13), 400 * DAYS])
def test_clock_that_was_ahead_silences_no_entry(ahead, restarted, set_clock, seen, caplog):
    set_clock.now = NOW + ahead
    set_clock.begin(a="1d")
    assert set_clock.look() == []
    wrong = set_clock.next()
    assert wrong > MIDNIGHT
    set_clock.now = NOW
    if restarted:
        set_clock.begin(a="1d")
    seen.set_clocks.clear()
    assert set_clock.look() == []
    assert set_clock.next() == MIDNIGHT
    assert seen.set_clocks == [("a", "back")]
    assert "a: the clock was ahead: next was " in caplog.text
    set_clock.now = MIDNIGHT
    assert set_clock.look() == [MIDNIGHT]
    assert set_clock.next() == MIDNIGHT + DAYS
    assert seen.set_clocks == [("a", "back")]


def test_clock_set_right_by_a_second_calls_for_a_tick_again_which_is_in_the_history(set_clock):
    set_clock.begin(a="1d")
    set_clock.now = MIDNIGHT
    assert set_clock.look() == [MIDNIGHT]
    set_clock.now = MIDNIGHT - timedelta(seconds=1)
    assert set_clock.look() == []
    set_clock.now = MIDNIGHT
    assert set_clock.look() == [MIDNIGHT]


def test_clock_that_was_behind_for_a_while_brings_no_ticks_that_were_long_ago(
    set_clock, seen, caplog
):
    """As on a machine whose battery is empty: it starts in 1970, until a server tells the time."""
    set_clock.begin(a="1d")
    set_clock.look()
    set_clock.now = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    set_clock.begin(a="1d", b="1d")  # of which b is new
    assert set_clock.look() == []
    assert set_clock.next() == datetime(1970, 1, 2, tzinfo=UTC)
    seen.set_clocks.clear()
    set_clock.now = MIDNIGHT + timedelta(hours=2)
    assert set_clock.look(put_forward=True) == [MIDNIGHT]  # of a: what it missed indeed
    assert seen.set_clocks == [("a", "right")]
    assert "a: the clock is right again; next is 2026-11-24T00:00:00Z, as before" in caplog.text
    assert set_clock.next("a") == set_clock.next("b") == MIDNIGHT + DAYS


def test_clock_that_was_ahead_and_is_put_forward_a_little_does_not_believe_it_again(set_clock):
    set_clock.now = NOW + 400 * DAYS
    set_clock.begin(a="1d")
    set_clock.now = NOW
    set_clock.look()
    set_clock.now = NOW + timedelta(minutes=10)
    assert set_clock.look(put_forward=True) == []
    assert set_clock.next() == MIDNIGHT


def test_virtual_machine_that_was_paused_has_what_it_missed(set_clock, monkeypatch):
    """Its clock is put forward when it goes on, and none of its clocks counted the pause."""
    set_clock.begin(a="1d")
    set_clock.look()
    monkeypatch.setattr(clock_module, "_NEW_SECONDS", 0.0)  # it is no longer new
    set_clock.now = MIDNIGHT + timedelta(hours=3)
    assert set_clock.look(put_forward=True) == [MIDNIGHT]


def test_machine_that_was_off_or_suspended_has_what_it_missed(set_clock):
    set_clock.begin(a="1d")
    set_clock.look()
    set_clock.now = MIDNIGHT + 2 * DAYS + timedelta(hours=3)
    assert set_clock.look() == [MIDNIGHT, MIDNIGHT + DAYS, MIDNIGHT + 2 * DAYS]


def test_so_many_missed_ticks_that_nobody_could_serve_them_are_left_out_but_the_last(
    set_clock, caplog
):
    set_clock.begin(a="1s")
    set_clock.look()
    set_clock.now = NOW + 3000 * DAYS
    ticks = set_clock.look()
    assert len(ticks) == 10_000
    assert ticks[-1] == set_clock.now
    assert "a: more than 10000 ticks were missed; those before " in caplog.text
    assert set_clock.next() == set_clock.now + timedelta(seconds=1)


def test_entry_that_a_clock_ahead_began_to_keep_is_kept_since_now(set_clock, seen):
    set_clock.now = NOW + 400 * DAYS
    set_clock.begin(a="1d")
    set_clock.now = NOW
    set_clock.begin(a="1d")
    assert KeptEntries(seen.folder).all()["a"].since == NOW
