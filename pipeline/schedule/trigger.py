"""When an entry is due: cron expressions and intervals as triggers of APScheduler."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from hyperdiag.messages.wording import counted

_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# What some crontabs can read too, and how it is written here.
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No clock has ever been put forward or back by more, but for moves across the date line.
_LARGEST_CHANGE = timedelta(hours=3)
# So far is looked back for the last ticks, and twice as far as long as there are too few.
_FIRST_STEP = timedelta(minutes=1)


class WallClock(BaseTrigger):
    """Times of day, each once on every day that has it, or ought to.

    When clocks go forward, a time that is left out comes as much later as they do; when they go
    back, a time that comes twice counts the first time. (The library's own cron trigger counts
    both, and loses the day on which midnight is left out.)

    Args:
        times: a trigger in UTC whose times are read as those of a clock on the wall.
        timezone: where that wall is.
    """

    def __init__(self, times: BaseTrigger, timezone: ZoneInfo):
        self._times, self._timezone = times, timezone

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the first time after the previous one; without one, the first from now on."""
        after = (previous + timedelta(microseconds=1) if previous else now).astimezone(UTC)
        walls = [after + self._offset(after)]
        if (border := self._border(after)) is not None:
            # What clocks leave out comes late: by the offset of before, it may be still to come.
            walls += [after + self._offset(after - _LARGEST_CHANGE), border]
        moments = self._moments(walls, after)
        if moments and (border := self._border(min(moments))) is not None:
            # The first may be late: of the times that clocks do show, one may come before it.
            moments += self._moments([border], after)
        return min(moments).astimezone(self._timezone) if moments else None

    def _moments(self, walls: list[datetime], after: datetime) -> list[datetime]:
        """Return when the first time of day comes from each of some on, but none that is past."""
        shown = [self._times.get_next_fire_time(None, wall) for wall in walls]
        moments = [
            time.replace(tzinfo=self._timezone, fold=0).astimezone(UTC) for time in shown if time
        ]
        return [moment for moment in moments if moment >= after]

    def _border(self, moment: datetime) -> datetime | None:
        """Return the time of day from which on the offset at a moment counts.

        None if clocks did not change in the hours before it, as many as the largest change has.
        """
        end = int(moment.timestamp())
        start = end - int(_LARGEST_CHANGE.total_seconds())
        before, behind = self._offset(_at(start)), self._offset(_at(end))
        if before == behind:
            return None
        seconds = range(start, end + 1)
        change = seconds[
            bisect_left(seconds, True, key=lambda second: self._offset(_at(second)) != before)
        ]
        return _at(change) + max(before, behind)

    def _offset(self, moment: datetime) -> timedelta:
        """Return by how much clocks on the wall are ahead of UTC at a moment."""
        offset = moment.astimezone(self._timezone).utcoffset()
        assert offset is not None
        return offset

    def __getstate__(self) -> dict[str, Any]:
        return {"times": self._times, "timezone": self._timezone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._times, self._timezone = state["times"], state["timezone"]


def _at(second: int) -> datetime:
    return _EPOCH + timedelta(seconds=second)


def cron_trigger(text: str, timezone: ZoneInfo) -> BaseTrigger:
    """Return the trigger of a cron expression, as crontab(5) reads it.

    Weekdays are 0 to 7 from Sunday to Sunday, or names; where both the day of the month and that of
    the week are restricted, either will do.

    Args:
        text: minute, hour, day of month, month, day of week; before them seconds, if there are six.
        timezone: whose clock is meant.

    Raises:
        ValueError: saying what is wrong with the expression.
    """
    fields = text.split()
    if text.lower() in NICKNAMES:
        raise ValueError(f"write {NICKNAMES[text.lower()]}")
    if len(fields) not in (5, 6):
        count = counted(len(fields), "field")
        raise ValueError(f"has {count}, not five (or six, the first for seconds)")
    values = dict(zip(_FIELDS, fields if len(fields) == 6 else ["0", *fields], strict=True))
    weekdays = _weekdays(values.pop("day_of_week"))
    # The library's trigger serves an hour that comes twice both times, as an hourly run wants it.
    hourly = values["hour"] == "*"
    zone = timezone if hourly else UTC
    trigger = CronTrigger(**values, day_of_week=weekdays, timezone=zone)
    if weekdays != "*" and not values["day"].startswith("*"):
        trigger = OrTrigger(
            [
                CronTrigger(**values, timezone=zone),
                CronTrigger(**values | {"day": "*"}, day_of_week=weekdays, timezone=zone),
            ]
        )
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError("names a day that no year has")
    return trigger if hourly else WallClock(trigger, timezone)


def _weekdays(text: str) -> str:
    """Return a field of weekdays by names: the library counts from Monday, crontab from Sunday."""
    if text.startswith("*") and text in ("*", "*/1"):
        return "*"
    chosen = []
    for part in text.lower().split(","):
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if not match:
            raise ValueError(f"cannot read the day of week '{part}'")
        low, high, step = match.groups()
        first = 0 if low == "*" else _weekday(low)
        last = 6 if low == "*" or (step and not high) else _weekday(high or low)
        if last < first:
            last += 7  # fri-mon
        if step == "0":
            raise ValueError(f"cannot read the day of week '{part}': steps of 0")
        chosen += [_WEEKDAYS[day % 7] for day in range(first, last + 1, int(step or 1))]
    return ",".join(dict.fromkeys(chosen))


def _weekday(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text)
    raise ValueError(f"cannot read the day of week '{text}': it must be 0 to 7, or sun to sat")


def interval_trigger(text: str) -> BaseTrigger:
    """Return the trigger of an interval: `5s`, `10m`, `2h`, `1d`, counted from midnight UTC on.

    Raises:
        ValueError: if it is none.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text)
    if not match:
        raise ValueError("must be a number and a unit, 5s, 10m, 2h or 1d")
    seconds = int(match[1]) * _UNITS[match[2]]
    # From a fixed moment: a restart moves no tick.
    return IntervalTrigger(seconds=seconds, start_date=_EPOCH, timezone=UTC)


def next_tick(trigger: BaseTrigger, now: datetime, after: bool = False) -> datetime | None:
    """Return the first tick from now on, or after now, in UTC; None if there is none."""
    start = now + timedelta(microseconds=1) if after else now
    tick = trigger.get_next_fire_time(None, start)
    return tick.astimezone(UTC) if tick else None


def last_ticks(trigger: BaseTrigger, first: datetime, last: datetime, count: int) -> list[datetime]:
    """Return the last ticks from `first` to `last`, both included, in order: at most so many."""
    # Ticks are found forwards alone, and there may be one each second for years.
    end = last + timedelta(microseconds=1)
    step = _FIRST_STEP
    while len(last_few := list(ticks(trigger, max(first, end - step), end))) < count:
        if end - step <= first:
            break
        step *= 2
    return last_few[-count:]


def ticks(trigger: BaseTrigger, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the times at which a trigger is due, from `start` to before `end`, in UTC."""
    tick = trigger.get_next_fire_time(None, start)
    while tick is not None and tick < end:
        yield tick.astimezone(UTC)
        tick = trigger.get_next_fire_time(tick, tick)
