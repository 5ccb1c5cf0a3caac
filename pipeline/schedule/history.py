"""The history of runs: which ticks there were, what became of each. One table in SQLite."""

import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .database import Database
from .missed import Missed, skipped

WAITING, RUNNING, STOPPED, ENDED, SKIPPED = "waiting", "running", "stopped", "ended", "skipped"
UNFINISHED = (WAITING, RUNNING, STOPPED)
_UNFINISHED = f"('{WAITING}', '{RUNNING}', '{STOPPED}')"

# Why a tick is not served that was entered before its time, or why it will be served again then.
AHEAD = "entered by a clock that was ahead"

_AHEAD = f"coalesce(reason, '') LIKE '{AHEAD}%'"

# A tick is entered once, whatever happens: (entry, tick, attempt) is its key. A re-run by hand is
# the next attempt.
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
  entry TEXT NOT NULL, tick INTEGER NOT NULL, attempt INTEGER NOT NULL,
  by_hand INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT,
  started REAL, ended REAL, code INTEGER, tries INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (entry, tick, attempt)
) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX IF NOT EXISTS runs_by_state ON runs (entry, state)"
_COLUMNS = "entry, tick, attempt, by_hand, state, reason, started, ended, code, tries"


class Run(NamedTuple):
    """A tick of an entry, and what became of it.

    Attributes:
        entry: its name.
        tick: when it was due, in whole seconds since 1970.
        attempt: 1, or more where it was run again by hand.
        by_hand: whether that was so.
        state: WAITING, RUNNING, STOPPED (to be gone on with), ENDED or SKIPPED.
        reason: why it was skipped, or what else there is to say of it.
        started: when its process began, the last time, in seconds since 1970.
        ended: when that ended.
        code: the exit code.
        tries: how many processes worked on it.
    """

    entry: str
    tick: int
    attempt: int
    by_hand: bool
    state: str
    reason: str | None
    started: float | None
    ended: float | None
    code: int | None
    tries: int

    @property
    def moment(self) -> datetime:
        """When it was due, in UTC."""
        return datetime.fromtimestamp(self.tick, UTC)

    @property
    def key(self) -> str:
        """What it is called: `20261123T060000Z`, a later attempt `20261123T060000Z-2`."""
        again = f"-{self.attempt}" if self.attempt > 1 else ""
        return f"{self.moment:%Y%m%dT%H%M%SZ}{again}"

    @property
    def unfinished(self) -> bool:
        """Whether it waits, is under way or was interrupted."""
        return self.state in UNFINISHED


class History:
    """The table of runs in a folder; every process that works on one opens its own.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path):
        self._database = Database(folder)
        with self._database.change() as table:
            table.execute(_TABLE)
            table.execute(_INDEX)

    def _select(self, where: str, *values: object) -> list[Run]:
        with self._database.open() as table:
            rows = table.execute(f"SELECT {_COLUMNS} FROM runs WHERE {where}", values)
            return [Run(*row) for row in rows]

    def enter(
        self,
        entry: str,
        due: Sequence[datetime],
        missed: Missed,
        grace_seconds: float,
        now: datetime,
    ) -> dict[datetime, str]:
        """Enter ticks that are due; those that are in already stay as they are.

        One that was in before its time, by a clock that was ahead, is entered anew.

        Args:
            entry: whose.
            due: when, in order.
            missed: what becomes of those that cannot be served in time.
            grace_seconds: how late is in time still.
            now: the time.

        Returns:
            the ticks that will not be served, these or earlier ones, and why.
        """
        with self._database.change() as table:
            unfinished = table.execute(
                f"SELECT tick, state, by_hand FROM runs WHERE entry = ? AND state IN {_UNFINISHED} "
                "ORDER BY tick",
                (entry,),
            ).fetchall()
            waiting = [
                datetime.fromtimestamp(tick, UTC)
                for tick, state, by_hand in unfinished
                if state == WAITING and not by_hand
            ]
            fresh = [tick for tick in due if self._enter_tick(table, entry, tick)]
            busy = any(state != WAITING for _, state, _ in unfinished)
            reasons = skipped(missed, fresh, waiting, busy, now, grace_seconds)
            for tick, reason in reasons.items():
                table.execute(
                    "UPDATE runs SET state = ?, reason = ? "
                    "WHERE entry = ? AND tick = ? AND state = ? AND NOT by_hand",
                    (SKIPPED, reason, entry, int(tick.timestamp()), WAITING),
                )
        return reasons

    @staticmethod
    def _enter_tick(table: sqlite3.Connection, entry: str, tick: datetime) -> bool:
        """Enter a tick; return False if it is in already."""
        second = int(tick.timestamp())
        attempt, reason = table.execute(
            "SELECT attempt, reason FROM runs WHERE entry = ? AND tick = ? "
            "ORDER BY attempt DESC LIMIT 1",
            (entry, second),
        ).fetchone() or (0, AHEAD)
        if not (reason or "").startswith(AHEAD):
            return False
        table.execute(
            "INSERT INTO runs (entry, tick, attempt, by_hand, state) VALUES (?, ?, ?, 0, ?)",
            (entry, second, attempt + 1, WAITING),
        )
        return True

    def put_off(self, entry: str, after: datetime) -> int:
        """Mark the ticks of an entry that are to come, and were entered by a clock that was ahead.

        What is unfinished of them is skipped; all of them are served when their time comes.

        Args:
            entry: whose.
            after: ticks after that are to come.

        Returns:
            how many there are.
        """
        with self._database.change() as table:
            return table.execute(
                "UPDATE runs SET "
                f"reason = CASE state WHEN '{SKIPPED}' THEN ? || '; ' || reason ELSE ? END, "
                f"state = CASE WHEN state IN {_UNFINISHED} THEN '{SKIPPED}' ELSE state END "
                f"WHERE entry = ? AND tick > ? AND NOT {_AHEAD}",
                (AHEAD, AHEAD, entry, after.timestamp()),
            ).rowcount

    def take_back(self, entry: str, until: datetime) -> None:
        """Undo `put_off` for ticks until a time: the clock that called them to come was wrong."""
        was_skipped = f"state = '{SKIPPED}' AND reason != '{AHEAD}'"
        with self._database.change() as table:
            table.execute(
                "UPDATE runs SET "
                f"reason = CASE WHEN {was_skipped} THEN substr(reason, ?) END, "
                f"state = CASE WHEN {was_skipped} OR state = '{ENDED}' THEN state ELSE ? END "
                f"WHERE entry = ? AND tick <= ? AND {_AHEAD}",
                (len(f"{AHEAD}; ") + 1, WAITING, entry, until.timestamp()),
            )

    def enter_by_hand(self, entry: str, tick: datetime) -> Run:
        """Return the unfinished run of a tick, or a new one."""
        second = int(tick.timestamp())
        with self._database.change() as table:
            attempt, state = table.execute(
                "SELECT attempt, state FROM runs WHERE entry = ? AND tick = ? "
                "ORDER BY attempt DESC LIMIT 1",
                (entry, second),
            ).fetchone() or (0, None)
            if state not in UNFINISHED:
                attempt += 1
                table.execute(
                    "INSERT INTO runs (entry, tick, attempt, by_hand, state) "
                    "VALUES (?, ?, ?, 1, ?)",
                    (entry, second, attempt, WAITING),
                )
        return self.find(entry, second, attempt)

    def find(self, entry: str, tick: int, attempt: int) -> Run:
        """Return a run that is in the table."""
        (run,) = self._select("entry = ? AND tick = ? AND attempt = ?", entry, tick, attempt)
        return run

    def of_tick(self, entry: str, tick: datetime) -> list[Run]:
        """Return the runs of a tick, the last attempt last."""
        second = int(tick.timestamp())
        return self._select("entry = ? AND tick = ? ORDER BY attempt", entry, second)

    def next(self, entry: str) -> Run | None:
        """Return the run to do next: one that was interrupted, else the first that waits."""
        order = f"ORDER BY state = '{WAITING}', tick, attempt LIMIT 1"
        runs = self._select(f"entry = ? AND state IN {_UNFINISHED} {order}", entry)
        return runs[0] if runs else None

    def latest(self, entry: str, count: int) -> list[Run]:
        """Return the last runs of an entry, the latest first.

        After them come those of ticks that are to come, which a clock entered that was ahead.
        """
        order = "ORDER BY tick DESC, attempt DESC LIMIT ?"
        now = time.time()
        past = self._select(f"entry = ? AND tick <= ? {order}", entry, now, count)
        left = count - len(past)
        return past + self._select(f"entry = ? AND tick > ? {order}", entry, now, left)

    def last_success(self, entry: str, until: datetime) -> Run | None:
        """Return the run that succeeded of the latest tick until a time; None if none did."""
        return self._last(f"code = 0 AND NOT {_AHEAD}", entry, until)

    def last_ended(self, entry: str, until: datetime) -> Run | None:
        """Return the run that ended of the latest tick until a time; None if none did."""
        return self._last(f"NOT {_AHEAD}", entry, until)

    def _last(self, condition: str, entry: str, until: datetime) -> Run | None:
        runs = self._select(
            f"entry = ? AND tick <= ? AND state = '{ENDED}' AND {condition} "
            "ORDER BY tick DESC, attempt DESC LIMIT 1",
            *(entry, until.timestamp()),
        )
        return runs[0] if runs else None

    def entries(self) -> list[str]:
        """Return the names of all entries that ever had a tick."""
        with self._database.open() as table:
            return [name for (name,) in table.execute("SELECT DISTINCT entry FROM runs ORDER BY 1")]

    def begin(self, run: Run, now: float) -> bool:
        """Say that a process works on a run, from now on (in seconds since 1970).

        Returns:
            False if there is nothing to do any more: it has ended, or is skipped.
        """
        with self._database.change() as table:
            changed = table.execute(
                "UPDATE runs SET state = ?, started = ?, ended = NULL, tries = tries + 1 "
                f"WHERE entry = ? AND tick = ? AND attempt = ? AND state IN {_UNFINISHED}",
                (RUNNING, now, run.entry, run.tick, run.attempt),
            )
            return changed.rowcount == 1

    def interrupt(self, run: Run, now: float) -> None:
        """Say that a run was stopped, to be gone on with."""
        state = f"CASE WHEN {_AHEAD} THEN '{SKIPPED}' ELSE '{STOPPED}' END"
        self._set(run, f"state = {state}, ended = ?", now)

    def note(self, run: Run, reason: str | None) -> None:
        """Say something of a run that is under way; None takes it back."""
        self._set(run, f"reason = CASE WHEN {_AHEAD} THEN reason ELSE ? END", reason)

    def end(
        self, run: Run, now: float, code: int, seconds: float, reason: str | None = None
    ) -> None:
        """Say that a run came to its end.

        Args:
            run: which.
            now: in seconds since 1970.
            code: its exit code.
            seconds: for which its process worked: the clock may have been set in the meantime.
            reason: what there is to say of it.
        """
        self._set(
            run,
            "state = ?, started = ?, ended = ?, code = ?, "
            f"reason = CASE WHEN {_AHEAD} THEN reason ELSE ? END",
            *(ENDED, now - seconds, now, code, reason),
        )

    def _set(self, run: Run, what: str, *values: object) -> None:
        with self._database.change() as table:
            table.execute(
                f"UPDATE runs SET {what} WHERE entry = ? AND tick = ? AND attempt = ?",
                (*values, run.entry, run.tick, run.attempt),
            )
