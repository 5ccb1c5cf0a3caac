"""The history of runs: which ticks there were, what became of each. One table in SQLite."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .missed import Missed, skipped

FILE = "schedule.sqlite"

WAITING, RUNNING, STOPPED, ENDED, SKIPPED = "waiting", "running", "stopped", "ended", "skipped"
UNFINISHED = (WAITING, RUNNING, STOPPED)
_UNFINISHED = f"('{WAITING}', '{RUNNING}', '{STOPPED}')"

# Who else writes (another run's end, APScheduler) takes milliseconds.
_BUSY_SECONDS = 60

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
        reason: why it was skipped.
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
        self._path = folder / FILE
        with self._change() as table:
            table.execute(_TABLE)
            table.execute(_INDEX)

    def _open(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None))

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:  # what is not committed is undone as it closes
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _select(self, where: str, *values: object) -> list[Run]:
        with self._open() as table:
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

        Args:
            entry: whose.
            due: when, in order.
            missed: what becomes of those that cannot be served in time.
            grace_seconds: how late is in time still.
            now: the time.

        Returns:
            the ticks that will not be served, these or earlier ones, and why.
        """
        with self._change() as table:
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
            fresh = [
                tick
                for tick in due
                if table.execute(
                    "INSERT OR IGNORE INTO runs (entry, tick, attempt, by_hand, state) "
                    "VALUES (?, ?, 1, 0, ?)",
                    (entry, int(tick.timestamp()), WAITING),
                ).rowcount
            ]
            busy = any(state != WAITING for _, state, _ in unfinished)
            reasons = skipped(missed, fresh, waiting, busy, now, grace_seconds)
            for tick, reason in reasons.items():
                table.execute(
                    "UPDATE runs SET state = ?, reason = ? "
                    "WHERE entry = ? AND tick = ? AND attempt = 1",
                    (SKIPPED, reason, entry, int(tick.timestamp())),
                )
        return reasons

    def enter_by_hand(self, entry: str, tick: datetime) -> Run:
        """Return the unfinished run of a tick, or a new one."""
        second = int(tick.timestamp())
        with self._change() as table:
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

    def next(self, entry: str) -> Run | None:
        """Return the run to do next: one that was interrupted, else the first that waits."""
        order = f"ORDER BY state = '{WAITING}', tick, attempt LIMIT 1"
        runs = self._select(f"entry = ? AND state IN {_UNFINISHED} {order}", entry)
        return runs[0] if runs else None

    def latest(self, entry: str, count: int) -> list[Run]:
        """Return the last runs of an entry, the latest first."""
        return self._select("entry = ? ORDER BY tick DESC, attempt DESC LIMIT ?", entry, count)

    def entries(self) -> list[str]:
        """Return the names of all entries that ever had a tick."""
        with self._open() as table:
            return [name for (name,) in table.execute("SELECT DISTINCT entry FROM runs ORDER BY 1")]

    def begin(self, run: Run, now: float) -> bool:
        """Say that a process works on a run, from now on (in seconds since 1970).

        Returns:
            False if there is nothing to do any more: it has ended, or is skipped.
        """
        with self._change() as table:
            changed = table.execute(
                "UPDATE runs SET state = ?, started = ?, ended = NULL, tries = tries + 1 "
                f"WHERE entry = ? AND tick = ? AND attempt = ? AND state IN {_UNFINISHED}",
                (RUNNING, now, run.entry, run.tick, run.attempt),
            )
            return changed.rowcount == 1

    def interrupt(self, run: Run, now: float) -> None:
        """Say that a run was stopped, to be gone on with."""
        self._set(run, "state = ?, ended = ?", STOPPED, now)

    def end(self, run: Run, now: float, code: int) -> None:
        """Say that a run came to its end, with an exit code."""
        self._set(run, "state = ?, ended = ?, code = ?", ENDED, now, code)

    def _set(self, run: Run, what: str, *values: object) -> None:
        with self._change() as table:
            table.execute(
                f"UPDATE runs SET {what} WHERE entry = ? AND tick = ? AND attempt = ?",
                (*values, run.entry, run.tick, run.attempt),
            )
