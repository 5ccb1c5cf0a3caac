"""How a command ends, as a number."""

import os
from collections.abc import Iterable

from hyperdiag.messages.errors import Busy, UsageError

from .signals import Stopped

DONE, INCOMPLETE, USAGE = 0, 1, 2
TRY_AGAIN = os.EX_TEMPFAIL  # 75: nothing is wrong, and nothing was done


def exit_code(error: BaseException | None) -> int:
    """Return the exit code of a command that an error ended, or none.

    0 done; 1 finished but incomplete, or failed; 2 configuration or usage; 75 another run is at
    work, try again later; 128 + n signal n.
    """
    if error is None:
        return DONE
    if isinstance(error, Stopped):
        return 128 + error.number
    if isinstance(error, Busy):
        return TRY_AGAIN
    return USAGE if isinstance(error, UsageError) else INCOMPLETE


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of several commands together: the largest.

    Of those that are to be tried again and those that failed, the failures count.
    """
    return max(codes, key=lambda code: (code != DONE, code != TRY_AGAIN, code), default=DONE)


def of_process(code: int) -> int:
    """Return the exit code of a process that ended with `code`, minus n where signal n ended it."""
    return code if code >= 0 else 128 - code
