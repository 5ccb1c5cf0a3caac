"""What a scheduler keeps of each entry: when it is due next, and since when it has been kept."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .database import Database

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
  entry TEXT PRIMARY KEY, due TEXT, since REAL NOT NULL, next REAL, reported INTEGER
) WITHOUT ROWID
"""
# Where release 0.1.0 kept the next times: APScheduler's, pickled but for these two columns.
_FORMER = "apscheduler_jobs"


class KeptEntry(NamedTuple):
    """An entry as a scheduler keeps it.

    Attributes:
        due: when it is due, for people; None if release 0.1.0 kept it, which does not tell.
        since: when it began to be kept, or was changed.
        next: its next tick; None if there is none any more.
        reported: the tick that was last reported as overdue, in seconds since 1970.
    """

    due: str | None
    since: datetime
    next: datetime | None
    reported: int | None


class KeptEntries:
    """The table of entries in a folder.

    Args:
        folder: of the schedule's state.
    """

    def __init__(self, folder: Path):
        self._database = Database(folder)
        with self._database.change() as table:
            table.execute(_TABLE)
            names = table.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_FORMER,))
            if names.fetchone():
                table.execute(
                    "INSERT OR IGNORE INTO entries (entry, since, next) "
                    f"SELECT id, next_run_time, next_run_time FROM {_FORMER}"
                )
                table.execute(f"DROP TABLE {_FORMER}")

    def all(self) -> dict[str, KeptEntry]:
        """Return all entries that are kept, by name."""
        with self._database.open() as table:
            rows = table.execute("SELECT entry, due, since, next, reported FROM entries").fetchall()
        return {
            name: KeptEntry(due, _moment(since), None if next is None else _moment(next), reported)
            for name, due, since, next, reported in rows
        }

    def keep(self, entry: str, due: str, since: datetime, next: datetime | None) -> None:
        """Keep an entry from now on, or again."""
        with self._database.change() as table:
            table.execute(
                "INSERT INTO entries (entry, due, since, next) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (entry) DO UPDATE SET due = excluded.due, since = excluded.since, "
                "next = excluded.next",
                (entry, due, since.timestamp(), _seconds(next)),
            )

    def set_next(self, entry: str, next: datetime | None) -> None:
        """Say which tick of an entry is the next."""
        with self._database.change() as table:
            table.execute("UPDATE entries SET next = ? WHERE entry = ?", (_seconds(next), entry))

    def set_reported(self, entry: str, tick: datetime | None) -> None:
        """Say which tick of an entry was reported as overdue; None: it is overdue no more."""
        with self._database.change() as table:
            table.execute(
                "UPDATE entries SET reported = ? WHERE entry = ?", (_seconds(tick), entry)
            )

    def remove(self, entry: str) -> None:
        """Keep an entry no longer."""
        with self._database.change() as table:
            table.execute("DELETE FROM entries WHERE entry = ?", (entry,))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
