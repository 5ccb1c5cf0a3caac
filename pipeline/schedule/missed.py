"""What becomes of ticks that could not be served in time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

Missed = Literal["skip", "latest", "all"]

LATER, BUSY, LATE = (
    "a later tick took its place",
    "the run before it was not done",
    "noticed {:.0f} s late",
)


def skipped(
    missed: Missed,
    due: Sequence[datetime],
    waiting: Sequence[datetime],
    busy: bool,
    now: datetime,
    grace_seconds: float,
) -> dict[datetime, str]:
    """Return the ticks that will not be served, and why.

    `all` serves every tick, one after the other; `latest` keeps one waiting, the latest; `skip`
    serves a tick only if nothing else is being served and it is noticed in time.

    Args:
        missed: what the entry wants.
        due: ticks that are due and not known yet, in order.
        waiting: ticks that wait, in order; earlier than those.
        busy: whether a run of the entry is under way, or was when its process died.
        now: when it is decided.
        grace_seconds: how late a tick may be noticed to be in time.
    """
    if missed == "all":
        return {}
    if missed == "latest":
        return dict.fromkeys([*waiting, *due][:-1], LATER)
    reasons = {}
    for tick in due:
        late = (now - tick).total_seconds()
        if late > grace_seconds:
            reasons[tick] = LATE.format(late)
        elif busy or waiting:
            reasons[tick] = BUSY
        elif tick != due[-1]:
            reasons[tick] = LATER
    return reasons
