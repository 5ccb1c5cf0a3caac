"""The file that a schedule keeps its state in: SQLite, opened anew for each question."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

FILE = "schedule.sqlite"

# Who else writes (another run's end, the clock) takes milliseconds.
_BUSY_SECONDS = 60


class Database:
    """The database in a folder; every process and thread that works on one may open its own.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path):
        self._path = folder / FILE

    def open(self) -> closing[sqlite3.Connection]:
        """Return a connection, to be used in a `with`."""
        return closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None))

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Change it in one transaction, which an exception in the block undoes."""
        with self.open() as connection:  # what is not committed is undone as it closes
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
