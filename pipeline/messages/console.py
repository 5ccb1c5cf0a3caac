"""Where words for people go: a terminal, or a file that has no width of its own."""

import re
import sys
from typing import IO, Any, cast

from rich import markup
from rich.console import Console
from rich.text import Text

from .masking import is_secret
from .printable import printable, printable_name
from .secrets import without_secrets

_PLAIN_WIDTH = 110


class _Trimmed:
    """Standard output without the blanks that tables have at the ends of their lines."""

    def write(self, text: str) -> int:
        return sys.stdout.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def flush(self) -> None:
        sys.stdout.flush()


class _Console(Console):
    """A console that shows no credential, and nothing of a name that a terminal would obey.

    It leaves a reader who went away to who prints: rich ends the process.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return what is printed as text, as rich asks for it of every line and cell."""
        return super().render_str(printable(without_secrets(text, is_secret)), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def escape(text: str) -> str:
    """Return a name, or another text of others, as a line or cell takes it: without markup."""
    return markup.escape(printable_name(text))


def plain_console(least_width: int = 0) -> Console:
    """Return a console on standard output, at least so many characters wide.

    A table that is wider than the terminal wraps; one that is cut loses numbers.
    """
    console = _Console(highlight=False, emoji=False)
    width = console.width
    if not console.is_terminal:
        console = _Console(highlight=False, emoji=False, file=cast(IO[str], _Trimmed()))
        width = _PLAIN_WIDTH
    console.width = max(width, least_width)
    return console
