"""The end of this process where it stands: threads that wait for ever must not hold it back."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

from .exit_codes import of_process
from .signals import SIGNALS, handled

# Ray, which stops a submitted run, kills it three seconds after the signal.
_DEAF_SECONDS = 2.5

_hanging = threading.Event()


def require_hard_exit() -> None:
    """Say that a thread hangs, for which the end of this process must not wait."""
    _hanging.set()


def must_exit_hard() -> bool:
    """Return whether that was said."""
    return _hanging.is_set()


def hard_exit(code: int) -> NoReturn:
    """End this process with an exit code; no other thread is waited for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader may be gone, or it be closed
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def ending_when_deaf() -> Iterator[None]:
    """End this process where a signal's handler does not get to run while the block lasts.

    Python calls handlers in the main thread, between two steps of it. One that is in compiled code,
    which compiles or waits for others, hears of no signal until it comes back. In a thread that is
    not the main one the block does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled.clear()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python writes each signal's number there at once, whatever the main thread is doing.
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader,), daemon=True, name="signals").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()


def _listen(reader: socket.socket) -> None:
    with reader:
        while numbers := reader.recv(16):
            for number in numbers:
                if number in SIGNALS:
                    _end_if_deaf(signal.Signals(number))


def _end_if_deaf(number: signal.Signals) -> None:
    deadline = time.monotonic() + _DEAF_SECONDS
    while not handled.wait(max(deadline - time.monotonic(), 0)):
        if time.monotonic() >= deadline:
            with contextlib.suppress(OSError):
                os.write(
                    2,
                    f"hyperdiag: stopped by {number.name} where it stood, in compiled code that "
                    "heeds no signal\n".encode(),
                )
            hard_exit(of_process(-number))
