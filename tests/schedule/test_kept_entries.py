"""The table of entries, and what release 0.1.0 had in its place."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from hyperdiag.schedule.database import FILE
from hyperdiag.schedule.kept_entries import KeptEntries

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)


def test_entry_is_kept_with_its_times_until_it_is_removed(tmp_path):
    kept = KeptEntries(tmp_path)
    kept.keep("a", "every 1h", NOON, LATER)
    kept.keep("b", "never", NOON, None)
    kept.set_reported("a", NOON)
    kept.set_next("a", LATER + timedelta(hours=1))
    again = KeptEntries(tmp_path).all()
    assert again["a"] == ("every 1h", NOON, LATER + timedelta(hours=1), NOON.timestamp())
    assert again["b"] == ("never", NOON, None, None)
    kept.keep("a", "every 2h", LATER, LATER)
    assert kept.all()["a"] == ("every 2h", LATER, LATER, NOON.timestamp())
    kept.remove("b")
    assert list(kept.all()) == ["a"]


def test_next_times_of_release_0_1_0_are_taken_over_and_its_pickles_are_not_read(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute(
            "CREATE TABLE apscheduler_jobs (id VARCHAR(191) NOT NULL, next_run_time FLOAT, "
            "job_state BLOB NOT NULL, PRIMARY KEY (id))"
        )
        job = ("nightly", NOON.timestamp(), b"cos\nsystem\n(S'false'\ntR.")
        connection.execute("INSERT INTO apscheduler_jobs VALUES (?, ?, ?)", job)
    for _ in range(2):
        assert KeptEntries(tmp_path).all() == {"nightly": (None, NOON, NOON, None)}
