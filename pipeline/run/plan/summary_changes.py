"""What of `summary` an output that is there does not let change, in the words of its options."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from hyperdiag.config.override import quoted
from hyperdiag.config.schema import Config
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .spec import Settings, SummarySpec

_PLAIN = re.compile(r"[A-Za-z_]\w*")  # needs no quotes
# The others follow from these, and from what is derived.
_OPTIONS = ("only", "by", "bins", "extreme_rows")


def summary_changes(
    before: SummarySpec | None, after: SummarySpec | None
) -> dict[str, tuple[Any, Any]]:
    """Return the options that differ: {option: (what it was, what it is)}."""
    if before is None or after is None:
        kept = before is not None, after is not None
        return {} if kept[0] == kept[1] else {"summary.enabled": kept}
    pairs = {key: (getattr(before, key), getattr(after, key)) for key in _OPTIONS}
    return {f"summary.{key}": pair for key, pair in pairs.items() if pair[0] != pair[1]}


def as_before(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Return what to type so that nothing changes."""
    return " ".join(shlex.quote(f"{option}={_typed(was)}") for option, (was, _) in changes.items())


def _typed(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else quoted(value)
    return json.dumps(value)


def check_statistics_are_kept(config: Config, previous: Settings | None) -> None:
    """Check that who asks for some statistics has any.

    Args:
        config: of the run.
        previous: settings that this run goes on from.

    Raises:
        UsageError: naming the options, why there are none, and what to do.
    """
    asked = config.summary
    if asked.enabled is False and asked.by is not None:
        raise UsageError(
            f"summary.by={asked.by} needs statistics, and summary.enabled=false keeps none: leave "
            "out the one or the other"
        )
    options = ["summary.only=true"] if asked.only else []
    options += [] if asked.by is None else [f"summary.by={asked.by}"]
    if options and asked.enabled is None and previous is not None and previous.summary is None:
        single = len(options) == 1
        raise UsageError(
            f"{' and '.join(options)} {'needs' if single else 'need'} statistics, and the run in "
            f"output.path {masked(config.output.path)} keeps none (summary.enabled=false): they "
            "are gathered while rows are derived. Give another output.path, or leave "
            f"{'it' if single else 'them'} out"
        )
