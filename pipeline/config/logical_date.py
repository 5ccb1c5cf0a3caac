"""The logical date of a run: the day or the moment that its data are of, whenever it is done."""

import datetime
import re
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hyperdiag.config.interpolation import interpolation_problem
from hyperdiag.messages.errors import UsageError

_KEY = "run.date"
# `fromisoformat` takes more (weeks, no hyphens), which no path should have to expect.
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")


def parse_date(value: object) -> datetime.datetime:
    """Return the moment, in UTC, that a logical date names; of a day, its first.

    Args:
        value: `2026-11-23` or `2026-11-23T06:00:00Z`; a time without a zone is in UTC.

    Raises:
        UsageError: if it is anything else.
    """
    try:
        if not isinstance(value, str) or not _ISO.fullmatch(value):
            raise ValueError
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=datetime.UTC)
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{_KEY} must be an ISO date or time, such as 2026-11-23 or 2026-11-23T06:00:00Z; "
            f"got {value}"
        ) from None


def fill_date(composed: DictConfig) -> None:
    """Give a configuration without a logical date today's, in UTC; check the one that it has.

    Written into the configuration, so that whoever reads it later, be it after midnight, finds
    the same one.

    Raises:
        UsageError: if what it has is no ISO date or time.
    """
    try:
        date = OmegaConf.select(composed, _KEY)
    except OmegaConfBaseException as error:
        raise UsageError(interpolation_problem(error, _KEY)) from error
    if date is None:
        today = datetime.datetime.now(datetime.UTC).date()
        OmegaConf.update(composed, _KEY, today.isoformat(), force_add=True)
    parse_date(OmegaConf.select(composed, _KEY))


def _at(*pattern: object, _root_: Any) -> str:
    """Return the logical date in another shape: `${at:%Y/%m/%d}`."""
    # A comma in the pattern parts the arguments of a resolver.
    return parse_date(OmegaConf.select(_root_, _KEY)).strftime(",".join(map(str, pattern)))


OmegaConf.register_new_resolver("at", _at, replace=True)
