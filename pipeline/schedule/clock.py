"""What tells the time: looks each second which entries are due.

Clocks are set right now and then, and are wrong before that: by years, where the battery of a
machine is empty. So a time that was kept is believed only as far as the entry's trigger agrees.
(APScheduler, whose triggers these are, believes it, and sleeps until then: a clock that was ahead
once, or a machine that was suspended, would keep its scheduler silent.)
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from .entry import Entry, utc_text
from .kept_entries import KeptEntries
from .trigger import last_ticks, next_tick

log = logging.getLogger("hyperdiag")

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_FIRST_SECONDS = 5.0
# An entry is new for so long: until then a machine that was just started learns the time.
_NEW_SECONDS = 600.0
_MOST_MISSED = 10_000  # ticks that are made up for; what comes before them is left out
# By less than that, clocks are set right all the time.
SET_RIGHT = timedelta(minutes=1)


class Listener(Protocol):
    """Hears what a clock finds, in a thread of the clock."""

    def due(self, entry: Entry, ticks: list[datetime]) -> None:
        """Ticks of an entry are due, in order."""

    def clock_went_back(self, entry: Entry, now: datetime) -> None:
        """The clock may have been ahead of now when ticks of an entry were due."""

    def clock_came_back(self, entry: Entry, now: datetime) -> None:
        """The clock that went back was wrong, and is where it was before."""

    def failed(self, error: BaseException) -> None:
        """The clock stopped because of an error."""


class Clock:
    """Calls for the ticks of entries, those included that came while no clock was there.

    A next time is kept only when the listener has returned. Dying in between, the clock comes with
    the same ticks again.

    Args:
        folder: where the times that come next are kept.
        listener: who hears of them.
    """

    def __init__(self, folder: Path, listener: Listener):
        self._listener = listener
        self._kept = KeptEntries(folder)
        self._guard = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._next: dict[str, datetime | None] = {}
        # Of entries whose next time was put back in the life of this clock: what it was before.
        self._before: dict[str, datetime] = {}
        self._new: dict[str, float] = {}  # since when entries are kept that this clock saw first
        self._ended, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self, entries: Iterable[Entry]) -> None:
        """Begin; return when the ticks that were missed are entered, or that takes long."""
        self.keep(entries)
        self._thread.start()
        self._looked.wait(_FIRST_SECONDS)

    def keep(self, entries: Iterable[Entry]) -> None:
        """Call for these entries from now on.

        One that was there before, with the same times, goes on from its last tick; a new or changed
        one begins now.
        """
        wanted = {entry.name: entry for entry in entries}
        with self._guard:
            now = _now()
            kept = self._kept.all()
            for name in kept.keys() - wanted.keys():
                self._kept.remove(name)
            self._next = {}
            for name, entry in wanted.items():
                before = kept.get(name)
                if before and before.due in (entry.due, None):
                    self._next[name] = before.next
                    # A clock that was ahead then would hide for long that the entry is overdue.
                    since = min(before.since, now)
                else:
                    self._next[name], since = next_tick(entry.trigger, now), now
                    self._new[name] = time.monotonic()
                self._kept.keep(name, entry.due, since, self._next[name])
                self._listener.clock_went_back(entry, now)
            self._entries = wanted

    def stop(self) -> None:
        """Call for nothing any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            offset = _offset()
            pause = 0.0
            while not self._ended.wait(pause):
                offset_before, offset = offset, _offset()
                try:
                    self._look(put_forward=offset - offset_before > SET_RIGHT.total_seconds())
                    pause = _LOOK_SECONDS
                except sqlite3.Error as error:  # the disk is full, say
                    log.warning("ticks cannot be entered: %s", error)
                    pause = _RETRY_SECONDS
                    offset = offset_before  # what was to be done about it is still to be done
                self._looked.set()
        except Exception as error:
            self._listener.failed(error)

    def _look(self, put_forward: bool) -> None:
        """Call for what is due.

        Args:
            put_forward: whether the clock was, since the last look.
        """
        with self._guard:
            now = _now()
            for name, entry in self._entries.items():
                self._check_next(entry, now, put_forward)
                first = self._next[name]
                if first is None or first > now or self._ended.is_set():
                    continue
                due = last_ticks(entry.trigger, first, now, _MOST_MISSED)
                if due and due[0] > first:
                    log.warning(
                        "%s: more than %d ticks were missed; those before %s are left out",
                        *(name, _MOST_MISSED, utc_text(due[0])),
                    )
                if due:
                    self._listener.due(entry, due)
                self._set_next(name, next_tick(entry.trigger, now, after=True))

    def _check_next(self, entry: Entry, now: datetime, put_forward: bool) -> None:
        """Believe the next time of an entry no further than its trigger does."""
        name = entry.name
        following, kept = next_tick(entry.trigger, now), self._next[name]
        before = self._before.get(name)
        if put_forward and before and (following is None or before <= following):
            log.warning(
                "%s: the clock is right again; next is %s, as before", name, utc_text(before)
            )
            del self._before[name]
            self._listener.clock_came_back(entry, now)
            self._set_next(name, before)
        elif put_forward and self._is_new(name):  # it begins now, whatever the time was before
            self._kept.keep(name, entry.due, now, following)
            self._next[name] = following
        elif kept and following and kept > following:
            log.warning(
                "%s: the clock was ahead: next was %s, and is %s",
                *(name, utc_text(kept), utc_text(following)),
            )
            self._before.setdefault(name, kept)
            self._listener.clock_went_back(entry, now)
            self._set_next(name, following)

    def _is_new(self, name: str) -> bool:
        began = self._new.get(name)
        return began is not None and time.monotonic() - began < _NEW_SECONDS

    def _set_next(self, name: str, tick: datetime | None) -> None:
        self._kept.set_next(name, tick)
        self._next[name] = tick


def _now() -> datetime:
    return datetime.now(UTC)


def _offset() -> float:
    """Return the time of the clock, less what has passed since the machine was started."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
