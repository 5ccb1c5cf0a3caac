import logging

import pytest

from hyperdiag.messages.wording import duration
from hyperdiag.run import progress
from hyperdiag.run.progress import Meter, shown


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


def test_meter_counts_only_its_own_rows_into_the_rate(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = Meter(total=1000, done=400, workers=2)
    assert meter.seconds_left == float("inf")
    now += 10
    meter.update(500, 3)
    assert meter.rate == 10
    assert meter.seconds_left == 50


def test_progress_without_a_terminal_is_a_plain_line(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    lines = []
    monkeypatch.setattr(
        logging.getLogger("hyperdiag"),
        "info",
        lambda text, *values, **_: lines.append(text % values),
    )
    meter = Meter(total=1000, done=0, workers=2)
    with shown(meter) as display:
        meter.update(100, 1)
        display.show(meter)
        assert lines == []
        now += 10
        display.show(meter)
    assert lines == [
        "100 of 1,000 rows (10%), 10 rows/s, 1 min 30 s left, 2 workers, 1 quarantined"
    ]
