"""Entries that are overdue: ticks that did not succeed within their time, whatever the reason.

That is found out from what should have been, not from what went wrong: a run that failed, one that
never ended, and one that never was are the same to whoever waits for the rows.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from hyperdiag.messages.wording import duration
from hyperdiag.process.exit_codes import INCOMPLETE
from hyperdiag.run.notify import notify

from .clock import SET_RIGHT
from .entry import Entry, utc_text
from .history import ENDED, History
from .kept_entries import KeptEntries, KeptEntry
from .trigger import last_ticks

log = logging.getLogger("hyperdiag")

_LOOK_SECONDS = 5.0
_YEARS = timedelta(days=5 * 366)


class Success(NamedTuple):
    """The last success of an entry.

    Attributes:
        tick: which tick succeeded.
        ended: when its run ended.
    """

    tick: datetime
    ended: datetime


class Overdue(NamedTuple):
    """A tick that should have succeeded by now.

    Attributes:
        tick: which: the last one whose time is over.
        since: when its time was over.
        reason: what became of it.
    """

    tick: datetime
    since: datetime
    reason: str


def last_success(entry: Entry, history: History, now: datetime) -> Success | None:
    """Return the success of an entry's latest tick that succeeded; None if none did."""
    run = history.last_success(entry.name, now + SET_RIGHT)
    if run is None or run.ended is None:
        return None
    ended = datetime.fromtimestamp(run.ended, UTC)
    # A clock that was ahead then would say for long that all is well.
    return Success(run.moment, ended if ended <= now + SET_RIGHT else run.moment)


def overdue(
    entry: Entry, history: History, kept: KeptEntry | None, now: datetime
) -> Overdue | None:
    """Return the tick of an entry that is overdue; None if none is.

    Args:
        entry: which.
        history: of its runs.
        kept: what a scheduler keeps of it; None if none ever kept it: then nothing was promised.
        now: the time.
    """
    if kept is None:
        return None
    time = timedelta(seconds=entry.settings.deadline_seconds)
    # Since a time to come is that of a clock that was ahead: since when is not known.
    begin = kept.since if kept.since <= now else now - _YEARS
    due = last_ticks(entry.trigger, begin, now - time, 1)
    success = last_success(entry, history, now)
    if not due or (success and success.tick >= due[0]):
        return None
    return Overdue(due[0], due[0] + time, _reason(entry, history, due[0], success))


def _reason(entry: Entry, history: History, tick: datetime, success: Success | None) -> str:
    """Return what became of a tick, and when the entry succeeded last."""
    runs = history.of_tick(entry.name, tick)
    if not runs:
        became = "no scheduler was at work"
    elif runs[-1].state == ENDED:
        became = f"it ended with exit code {runs[-1].code}"
    else:
        became = ": ".join(filter(None, (f"it is {runs[-1].state}", runs[-1].reason)))
    last = f"the last success was at {utc_text(success.ended)}" if success else "none succeeded yet"
    return f"{became}; {last}"


class OverdueWatch(Thread):
    """Tells the hooks of an entry, once for each tick, that it is overdue.

    Args:
        folder: of the schedule's state.
        entries: returns the entries that there are now.
    """

    def __init__(self, folder: Path, entries: Callable[[], Iterable[Entry]]):
        super().__init__(name="overdue", daemon=True)
        self._entries = entries
        self._history, self._kept = History(folder), KeptEntries(folder)
        self._ended = Event()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._ended.set()

    def run(self) -> None:
        """Look now and then, until stopped."""
        while not self._ended.wait(_LOOK_SECONDS):
            for entry in self._entries():
                try:
                    self._look(entry)
                except Exception:  # runs go on without it
                    log.exception("%s: whether it is overdue cannot be told", entry.name)

    def _look(self, entry: Entry) -> None:
        kept = self._kept.all().get(entry.name)
        if kept is None:
            return
        late = overdue(entry, self._history, kept, datetime.now(UTC))
        if late is None:
            if kept.reported is not None:
                log.info("%s: overdue no more", entry.name)
                self._kept.set_reported(entry.name, None)
        elif kept.reported != int(late.tick.timestamp()):
            text = overdue_text(entry, late)
            log.warning("%s", text)
            if "failure" in entry.notify.on:
                notify(entry.notify, _message(entry, late, text), entry.notify.seconds)
            self._kept.set_reported(entry.name, late.tick)


def overdue_text(entry: Entry, late: Overdue) -> str:
    """Return in a sentence that an entry is overdue."""
    return (
        f"{entry.name} is overdue: its tick of {utc_text(late.tick)} had not succeeded after "
        f"{duration(entry.settings.deadline_seconds)} ({late.reason})"
    )


def _message(entry: Entry, late: Overdue, text: str) -> dict[str, Any]:
    """Return what hooks are told, with the keys of how a run ended as far as they apply."""
    return {
        "state": "overdue",
        "exit_code": INCOMPLETE,
        "entry": entry.name,
        "tick": utc_text(late.tick),
        "date": entry.date_of(late.tick),
        "overdue_since": utc_text(late.since),
        "error": text,
    }
