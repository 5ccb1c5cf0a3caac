"""The end of a command whose reader went away, as in `hyperdiag derive --help | head`."""

import contextlib
import logging
import os
import select
import signal
import sys
from collections.abc import Iterator

from hyperdiag.process.exit_codes import of_process

UNREAD = of_process(-signal.SIGPIPE)  # the exit code


def is_unread(error: Exception) -> bool:
    """Return whether an error says that nobody reads standard output any longer."""
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        output = select.poll()
        output.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # it has no number, or is closed
        return False
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in output.poll(0))


@contextlib.contextmanager
def ending_when_unread() -> Iterator[None]:
    """End this process as SIGPIPE would, without a word, if nobody reads what the block prints."""
    try:
        try:
            with _raising_in_handlers():
                yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNREAD)


@contextlib.contextmanager
def _raising_in_handlers() -> Iterator[None]:
    """Let handlers of `logging`, which print a traceback of whatever they fail with, raise this.

    Hydra prints through one, on standard output, what its flag `--info` asks for.
    """
    original = logging.Handler.handleError

    def handle(handler: logging.Handler, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        on_output = getattr(handler, "stream", None) is sys.stdout
        if on_output and isinstance(error, BrokenPipeError) and is_unread(error):
            raise error
        original(handler, record)

    logging.Handler.handleError = handle  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        logging.Handler.handleError = original  # type: ignore[method-assign]
