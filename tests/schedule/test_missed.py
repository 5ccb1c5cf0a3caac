"""Which ticks are served when not all can be."""

from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.schedule.missed import BUSY, LATER, skipped

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (NOON + timedelta(minutes=k) for k in range(3))


def served(missed, due, waiting=(), busy=False, late=0.0, grace=60.0):
    """Return the ticks that wait afterwards."""
    now = max(due) + timedelta(seconds=late)
    dropped = skipped(missed, due, list(waiting), busy, now, grace)
    assert set(dropped) <= {*due, *waiting}
    return [tick for tick in (*waiting, *due) if tick not in dropped]


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_tick_in_time_is_served_when_nothing_else_is_going_on(missed):
    assert served(missed, [FIRST]) == [FIRST]
    assert served(missed, [FIRST], late=60) == [FIRST]


@pytest.mark.parametrize(
    ("missed", "wanted"), [("skip", []), ("latest", [FIRST]), ("all", [FIRST])]
)
def test_late_tick(missed, wanted):
    assert served(missed, [FIRST], late=61) == wanted
    assert served(missed, [FIRST], late=86400) == wanted


@pytest.mark.parametrize(
    ("missed", "wanted"), [("skip", []), ("latest", [FIRST]), ("all", [FIRST])]
)
def test_tick_during_a_run(missed, wanted):
    assert served(missed, [FIRST], busy=True) == wanted


@pytest.mark.parametrize(
    ("missed", "wanted"), [("skip", [FIRST]), ("latest", [SECOND]), ("all", [FIRST, SECOND])]
)
def test_tick_while_another_waits(missed, wanted):
    assert served(missed, [SECOND], waiting=[FIRST]) == wanted
    assert served(missed, [SECOND], waiting=[FIRST], busy=True) == wanted


@pytest.mark.parametrize(
    ("missed", "wanted"),
    [("skip", [THIRD]), ("latest", [THIRD]), ("all", [FIRST, SECOND, THIRD])],
)
def test_several_ticks_at_once(missed, wanted):
    assert served(missed, [FIRST, SECOND, THIRD], grace=600) == wanted


def test_reasons_say_why():
    now = THIRD + timedelta(seconds=7)
    assert skipped("latest", [SECOND, THIRD], [FIRST], True, now, 60) == {
        FIRST: LATER,
        SECOND: LATER,
    }
    assert skipped("skip", [SECOND, THIRD], [], False, now, 60) == {SECOND: "noticed 67 s late"}
    assert skipped("skip", [THIRD], [], True, now, 60) == {THIRD: BUSY}
