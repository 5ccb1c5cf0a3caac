"""Where words for people go: a terminal, or a file that has no width of its own."""

import re
import sys
from typing import IO, cast

from rich.console import Console

_PLAIN_WIDTH = 110


class _Trimmed:
    """Standard output without the blanks that tables have at the ends of their lines."""

    def write(self, text: str) -> int:
        return sys.stdout.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def flush(self) -> None:
        sys.stdout.flush()


class _Console(Console):
    """A console that leaves a reader who went away to who prints: rich ends the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def plain_console(least_width: int = 0) -> Console:
    """Return a console on standard output, at least so many characters wide.

    A table that is wider than the terminal wraps; one that is cut loses numbers.
    """
    console = _Console(highlight=False)
    width = console.width
    if not console.is_terminal:
        console = _Console(highlight=False, file=cast(IO[str], _Trimmed()))
        width = _PLAIN_WIDTH
    console.width = max(width, least_width)
    return console
