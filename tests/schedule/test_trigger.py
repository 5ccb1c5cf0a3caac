"""When cron expressions are due, held against pandas and against a walk through every minute."""

import calendar
import pickle
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperdiag.schedule.trigger import NICKNAMES, WallClock, cron_trigger, interval_trigger, ticks

from .counting import Counting

# Clocks change at 2, by half an hour, at midnight, in autumn of the other half of the Earth, never.
ZONES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-10-04", "2026-04-05"),
    "America/Santiago": ("2026-09-06", "2026-04-05"),
    "Asia/Kolkata": ("2026-03-29", "2026-10-25"),
    "UTC": ("2026-03-29", "2026-10-25"),
}
CHANGES = [(zone, day) for zone, days in ZONES.items() for day in days]


def due(text, zone, start, days):
    start = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    trigger = cron_trigger(text, ZoneInfo(zone))
    return list(ticks(trigger, start, start + timedelta(days=days)))


def around(day):
    first = pd.Timestamp(day) - pd.Timedelta(days=3)
    return [first + pd.Timedelta(days=k) for k in range(6)]


def _moment(shown, zone):
    """The moment at which a clock shows that, or would if it had not been put forward."""
    moment = shown.tz_localize(zone, ambiguous=True, nonexistent="NaT")
    if moment is pd.NaT:
        later = shown + pd.Timedelta(minutes=30 if "Lord_Howe" in zone else 60)
        moment = later.tz_localize(zone)
    return moment.tz_convert("UTC").to_pydatetime()


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("time", ["00:00", "00:15", "01:30", "02:00", "02:15", "02:30", "03:00"])
def test_time_of_day_comes_once_a_day_through_changes_of_the_clock(zone, day, time):
    wanted = [_moment(date + pd.Timedelta(f"{time}:00"), zone) for date in around(day)]
    hour, minute = map(int, time.split(":"))
    found = due(f"{minute} {hour} * * *", zone, str(around(day)[0]), 9)
    assert found[: len(wanted)] == wanted


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("minutes", [{0}, {30}, {0, 20, 40}])
def test_hourly_ticks_come_in_every_hour_that_passes(zone, day, minutes):
    start = str(around(day)[2])
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    walk = (first + timedelta(minutes=k) for k in range(2 * 24 * 60))
    wanted = [time for time in walk if time.astimezone(ZoneInfo(zone)).minute in minutes]
    text = f"{','.join(map(str, sorted(minutes)))} * * * *"
    found = [time for time in due(text, zone, start, 3) if time <= wanted[-1]]
    assert found == wanted


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon tue wed thu fri"),
        ("sun-tue", "sun mon tue"),
        ("fri-mon", "fri sat sun mon"),
        ("5-7", "fri sat sun"),
        ("*/2", "sun tue thu sat"),
        ("1/3", "mon thu"),
        ("MON,3", "mon wed"),
    ],
)
def test_weekdays_are_those_of_crontab(field, days):
    names = {
        time.strftime("%a").lower() for time in due(f"0 6 * * {field}", "UTC", "2026-11-02", 14)
    }
    assert names == set(days.split())


def test_day_of_month_or_of_week_when_both_are_given():
    days = [datetime(2026, 11, 1, 6, tzinfo=UTC) + timedelta(days=k) for k in range(200)]
    found = due("0 6 13 * 5", "UTC", "2026-11-01", 200)
    assert found == [day for day in days if day.day == 13 or day.weekday() == calendar.FRIDAY]
    found = due("0 6 */9 * 5", "UTC", "2026-11-01", 200)  # what begins with * restricts further
    ninths = [day for day in days if day.day in (1, 10, 19, 28)]
    assert found == [day for day in ninths if day.weekday() == calendar.FRIDAY] != []


def test_six_fields_begin_with_seconds():
    found = due("*/20 59 23 * * *", "UTC", "2026-11-02", 1)
    assert [time.strftime("%H:%M:%S") for time in found] == ["23:59:00", "23:59:20", "23:59:40"]


def test_times_left_out_keep_their_order():
    """In Lord Howe 2:20 does not exist and is 2:50, after the 2:40 that does."""
    found = due("20,40 2 * * *", "Australia/Lord_Howe", "2026-10-04", 1)
    zone = ZoneInfo("Australia/Lord_Howe")
    assert [time.astimezone(zone).strftime("%H:%M") for time in found] == ["02:40", "02:50"]


@settings(max_examples=300)
@given(
    change=st.sampled_from(CHANGES),
    times=st.sets(
        st.tuples(st.sampled_from([0, 1, 2, 3, 22, 23]), st.sampled_from([0, 10, 30, 59])),
        min_size=1,
        max_size=4,
    ),
    start=st.integers(-12 * 3600, 20 * 3600),
)
# From within the hour that comes again, when one time of day has been and another is to come.
@example(change=("Europe/Berlin", "2026-10-25"), times={(2, 59), (3, 0)}, start=3600 + 45 * 60)
def test_every_time_of_day_comes_in_its_order_from_any_moment_on(change, times, start):
    zone, day = change
    first = pd.Timestamp(day, tz="UTC").to_pydatetime() + timedelta(seconds=start)
    last = first + timedelta(days=1)
    wanted = {
        _moment(date + pd.Timedelta(hours=hour, minutes=minute), zone)
        for date in around(day)
        for hour, minute in times
    }
    each = [CronTrigger(hour=hour, minute=minute, timezone=UTC) for hour, minute in times]
    found = list(ticks(WallClock(OrTrigger(each), ZoneInfo(zone)), first, last))
    assert found == sorted(time for time in wanted if first <= time < last)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_each_tick_takes_a_few_questions_however_many_there_are(zone, day):
    times = Counting(cron_trigger("*/30 * * * * *", ZoneInfo("UTC")))
    trigger = WallClock(times, ZoneInfo(zone))
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    found = list(ticks(trigger, start, start + timedelta(hours=5)))
    assert len(found) >= 4 * 3600 / 30
    assert times.asked <= 4 * (len(found) + 1)


def test_interval_counts_from_midnight_wherever_it_starts():
    start = datetime(2026, 11, 23, 6, 0, 7, 500, tzinfo=UTC)
    found = list(ticks(interval_trigger("5s"), start, start + timedelta(seconds=15)))
    assert [time.second for time in found] == [10, 15, 20]
    assert {time.microsecond for time in found} == {0}


def test_triggers_survive_being_stored():
    start = datetime(2026, 3, 28, tzinfo=UTC)
    for text in ("30 2 * * *", "0 * * * *", "0 6 13 * 5"):
        trigger = cron_trigger(text, ZoneInfo("Europe/Berlin"))
        stored = pickle.loads(pickle.dumps(trigger))
        end = start + timedelta(days=5)
        assert list(ticks(stored, start, end)) == list(ticks(trigger, start, end))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 2 * *", "has 4 fields"),
        ("5", "has 1 field, not five"),
        ("", "has 0 fields"),
        ("@daily", r"write 0 0 \* \* \*"),
        ("@Weekly", r"write 0 0 \* \* 0"),
        ("@reboot", "has 1 field, not five"),
        ("60 2 * * *", "maximum value"),
        ("0 2 30 2 *", "a day that no year has"),
        ("0 2 * * 8", "must be 0 to 7, or sun to sat"),
        ("0 2 * * mondays", "must be 0 to 7, or sun to sat"),
        ("0 2 * * 1/0", "steps of 0"),
        ("0 2 * * ?", "cannot read the day of week"),
        ("0 x * * *", "Unrecognized expression"),
    ],
)
def test_expression_that_means_nothing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        cron_trigger(text, ZoneInfo("UTC"))


@pytest.mark.parametrize(("name", "text"), NICKNAMES.items())
def test_nickname_is_told_as_an_expression_that_can_be_read(name, text):
    with pytest.raises(ValueError, match=re.escape(f"write {text}")):
        cron_trigger(name, ZoneInfo("UTC"))
    found = due(text, "UTC", "2026-01-01", 731)
    wanted = {"@hourly": 731 * 24, "@daily": 731, "@midnight": 731, "@weekly": 104, "@monthly": 25}
    assert len(found) == wanted.get(name, 3)


@pytest.mark.parametrize("text", ["5", "0s", "5 s", "-5s", "1w", "1.5h", ""])
def test_interval_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match="number and a unit"):
        interval_trigger(text)
