"""What is run when: the entries of a schedule, one file each."""

import datetime
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, ValidationError
from yaml import YAMLError

from hyperdiag.config.schema import Config, NotifyConfig
from hyperdiag.messages.errors import UsageError, closest, listed
from hyperdiag.messages.masking import masked, masked_text
from hyperdiag.messages.validation import sentences

from .trigger import cron_trigger, interval_trigger, last_ticks, ticks

_DAY = datetime.timedelta(days=1)
_SET_BY_TICK = {
    "run.date": "each tick gives the date",
    "submit.address": "it has a key of its own, address",
    "submit.id": "it is made of the entry's name and the tick",
    "submit.action": "each tick submits",
    "submit.wait": "each tick waits for the end of its run",
}
_SHOWN = 3  # ticks near one that does not exist
_MONTH, _YEARS = 31 * _DAY, 5 * 366 * _DAY


class Settings(BaseModel):
    """The keys of an entry's file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    cron: str | None = None
    every: str | None = None
    timezone: str = "UTC"
    overrides: list[str] = []
    date: Literal["auto", "day", "time"] = "auto"
    missed: Literal["skip", "latest", "all"] = "latest"
    grace_seconds: NonNegativeFloat = 60.0
    deadline_seconds: PositiveFloat = 43200.0
    address: str | None = None
    active: bool = True


@dataclass(frozen=True)
class Entry:
    """A command, and when it is due.

    Attributes:
        name: of its file, without the suffix.
        settings: what the file says.
        trigger: when it is due.
        notify: who hears how its runs end.
    """

    name: str
    settings: Settings
    trigger: BaseTrigger
    notify: NotifyConfig = field(default_factory=NotifyConfig)

    @property
    def due(self) -> str:
        """When it is due, for people; two entries with the same have the same ticks."""
        settings = self.settings
        return (
            f"every {settings.every}" if settings.every else f"{settings.cron} {settings.timezone}"
        )

    @property
    def command(self) -> str:
        """Which command serves it: `derive`, or `submit` to a job server."""
        return "submit" if self.settings.address else "derive"

    @property
    def zone(self) -> ZoneInfo:
        """Whose clock its days are of."""
        return ZoneInfo(self.settings.timezone)

    def date_of(self, tick: datetime.datetime) -> str:
        """Return the logical date (`run.date`) of a tick.

        A day in the entry's time zone, or a time in UTC; `date: auto` is a day where the expression
        names one minute of one hour.
        """
        settings = self.settings
        kind = settings.date
        if kind == "auto":
            fields = (settings.cron or "").split()
            kind = "day" if len(fields) == 5 and "".join(fields[:2]).isdigit() else "time"
        return f"{tick.astimezone(self.zone):%Y-%m-%d}" if kind == "day" else utc_text(tick)

    def tick_of(self, text: str | None) -> datetime.datetime:
        """Return the tick of a day, of a time, or the last one before now.

        Args:
            text: an ISO date or time, in the entry's time zone unless it names another; or None.

        Raises:
            UsageError: if there is no such tick, naming those that are near, or if there are many.
        """
        now = datetime.datetime.now(datetime.UTC)
        if text is None:
            if past := last_ticks(self.trigger, now - _YEARS, now, 1):
                return past[-1]
            raise UsageError(f"entry {self.name} has not been due for years: give the date=...")
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"date must be an ISO date or time, 2026-11-23 or 2026-11-23T06:00:00Z; got {text}"
            ) from None
        start = moment if moment.tzinfo else moment.replace(tzinfo=self.zone)
        start = start.astimezone(datetime.UTC)
        if re.fullmatch(r"\d{4}-?\d\d-?\d\d", text):
            after = (moment + _DAY).replace(tzinfo=self.zone).astimezone(datetime.UTC)
            matching = list(ticks(self.trigger, start, after))
            if len(matching) > 1:
                raise UsageError(
                    f"entry {self.name} has {len(matching)} ticks on {text}: give the time too, "
                    f"date={utc_text(matching[0])}"
                )
        else:
            matching = list(ticks(self.trigger, start, start + datetime.timedelta(microseconds=1)))
        if not matching:
            near = last_ticks(self.trigger, start - _MONTH, start, _SHOWN)
            raise UsageError(
                f"entry {self.name} has no tick at date={text}; before it there are: "
                f"{', '.join(map(utc_text, near)) or 'none within a month'}"
            )
        (tick,) = matching
        if tick > now:
            raise UsageError(f"entry {self.name} is due at {utc_text(tick)}, which is to come")
        return tick


def utc_text(moment: datetime.datetime) -> str:
    """Return a moment as `2026-11-23T06:00:00Z`."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_entries(
    folders: Iterable[Path], configure: Callable[[Entry], Config] | None = None
) -> list[Entry]:
    """Return the entries in folders, sorted by name, but for those that are not active.

    Args:
        folders: with a YAML file for each entry; the first that has a name counts.
        configure: returns the configuration of an entry's runs; raises UsageError where there can
            be none. None leaves its overrides unread.

    Raises:
        UsageError: naming the file and everything that is wrong in each of them, or if none is
            active.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.stem, path)
    entries: list[Entry] = []
    problems: list[str] = []
    for name, path in sorted(files.items()):
        try:
            entry = _read(name, path)
            if entry.settings.active:
                if configure is not None:
                    entry = replace(entry, notify=configure(entry).notify)
                entries.append(entry)
        except UsageError as error:
            problems += [
                f"schedule entry {path}: {masked_text(problem)}" for problem in error.problems
            ]
    if problems:
        raise UsageError(problems)
    if not entries:
        inactive = f" (not active: {listed(files)})" if files else ""
        raise UsageError(
            f"there is nothing to schedule{inactive}: write an entry, DIR/schedule/<name>.yaml, "
            "and give --config-dir DIR"
        )
    return entries


def choose(entries: Iterable[Entry], name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        UsageError: if there is none.
    """
    by_name = {entry.name: entry for entry in entries}
    if name not in by_name:
        raise UsageError(
            f"no schedule entry '{name}'{closest(name, by_name)}; there are: {listed(by_name)}"
        )
    return by_name[name]


def _read(name: str, path: Path) -> Entry:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise UsageError("its name may have letters, digits, _ and - only: it becomes a job's id")
    try:
        # Not resolved: ${run.date} is known when the entry is due.
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise UsageError(f"cannot be read: {' '.join(str(error).split())}") from error
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        keys = list(Settings.model_fields)
        raise UsageError(sentences(error.errors(), values, lambda _: keys)) from error
    problems: list[str] = []
    zone, trigger = ZoneInfo("UTC"), None
    try:
        zone = ZoneInfo(settings.timezone)
    except (ValueError, OSError, LookupError):
        problems.append(
            "timezone must be of the IANA database, Europe/Berlin; got "
            f"{settings.timezone or 'nothing'}"
        )
    if (settings.cron is None) == (settings.every is None):
        problems.append("needs cron or every, and one of them only")
    else:
        try:
            if settings.every is not None:
                trigger = interval_trigger(settings.every)
            else:
                trigger = cron_trigger(settings.cron or "", zone)
        except ValueError as error:
            key = (
                f"every '{settings.every}'" if settings.cron is None else f"cron '{settings.cron}'"
            )
            problems.append(f"{key}: {error}")
    problems += [
        f"overrides: {text} is a flag; only key=value can be scheduled"
        for text in settings.overrides
        if text.startswith("-")
    ]
    problems += [
        f"overrides: {text} is not for an entry to say: {reason}"
        for text in settings.overrides
        for key, reason in _SET_BY_TICK.items()
        if text.lstrip("+~").partition("=")[0] == key
    ]
    if settings.address is not None and not re.match(r"https?://[^/]", settings.address):
        problems.append(
            "address must be that of a job server, http://host:8265; got "
            f"{masked(settings.address)}"
        )
    if problems or trigger is None:
        raise UsageError(problems)
    return Entry(name, settings, trigger)
