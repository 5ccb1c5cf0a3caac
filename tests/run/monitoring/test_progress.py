import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console

from hyperdiag.messages.wording import duration
from hyperdiag.run.monitoring import progress
from hyperdiag.run.monitoring.monitor import Snapshot
from hyperdiag.run.monitoring.progress import ProgressBar, ProgressLines

# 400 of 1000 rows were done before; 300 more in ten seconds, 60 of them in a shard under way.
SNAPSHOT = Snapshot(
    shards=10,
    shards_before=4,
    shards_done=6,
    rows=1000,
    rows_before=400,
    rows_done=640,
    rows_under_way=60,
    quarantined={"nan": 1, "null": 2},
    workers=2,
    retries=0,
    start_seconds=3.0,
    seconds=10.0,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 01 s"),
        (3600, "1 h 00 min"),
        (9000, "2 h 30 min"),
        (float("inf"), "unknown time"),
    ],
)
def test_duration_reads_as_people_say_it(seconds, text):
    assert duration(seconds) == text


def test_rate_counts_rows_of_this_command_alone_also_of_shards_under_way():
    assert SNAPSHOT.rows_per_s == 30
    assert SNAPSHOT.seconds_left == 10


def test_time_left_is_unknown_before_the_first_row():
    begun = replace(SNAPSHOT, rows_done=400, rows_under_way=0)
    assert begun.seconds_left == float("inf")
    assert replace(begun, seconds=0.0).rows_per_s == 0


def test_progress_without_a_terminal_is_a_plain_line_every_ten_seconds(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    lines = []
    monkeypatch.setattr(
        logging.getLogger("hyperdiag"),
        "info",
        lambda text, *values, **_: lines.append(text % values),
    )
    listener = ProgressLines()
    listener.started(SNAPSHOT)
    now += 9.9
    listener.tick(SNAPSHOT)
    assert lines == []
    now += 0.1
    listener.tick(SNAPSHOT)
    listener.tick(SNAPSHOT)
    assert lines == ["700 of 1,000 rows (70%), 30 rows/s, 10.0 s left, 2 workers, 3 quarantined"]


def test_progress_on_a_terminal_is_a_bar_that_goes_away():
    text = io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=True, width=200))
    bar.started(SNAPSHOT)
    bar.tick(SNAPSHOT)
    bar.ended()
    said = text.getvalue()
    assert "700 of 1,000 rows · 30 rows/s · 2 workers · 3 quarantined ·" in said
    assert said.endswith("\x1b[2K")  # the line is erased


def test_bar_that_never_began_ends_without_a_word():
    text = io.StringIO()
    ProgressBar(Console(file=text, force_terminal=True)).ended()
    assert text.getvalue() == ""
