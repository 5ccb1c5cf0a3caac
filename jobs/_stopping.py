"""The end of a command that a signal stops: a sentence, and exit code 128 + n."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from hyperdiag.process.exit_codes import exit_code, of_process
from hyperdiag.process.hard_exit import ending_when_deaf, hard_exit
from hyperdiag.process.signals import SIGNALS, Stopped, StopSignals


def end_at_once() -> None:
    """Let SIGTERM and SIGINT end this process where it stands, as long as nobody else takes them.

    For the time of imports: an exception in the middle of one makes extension modules print it, or
    abort.
    """
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(Exception):  # it may be at it, or its reader be stopped, too
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"hyperdiag: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(of_process(-number))


@contextlib.contextmanager
def ending_when_stopped(say: Callable[[str], None]) -> Iterator[StopSignals]:
    """End this process in order, should SIGTERM or SIGINT come while the block lasts.

    Args:
        say: takes the sentence for people.
    """
    try:
        with StopSignals(left="") as signals, ending_when_deaf():
            yield signals
    except Stopped as stopped:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        say(f"stopped by {stopped}" + (f"; {stopped.left}" if stopped.left else ""))
        # A worker's thread must not hold the process back.
        hard_exit(exit_code(stopped))
