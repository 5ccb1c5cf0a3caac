"""Where words for people go: a terminal, or a file that has no width of its own."""

from rich.console import Console

_PLAIN_WIDTH = 110


def plain_console(least_width: int = 0) -> Console:
    """Return a console on standard output, at least so many characters wide.

    A table that is wider than the terminal wraps; one that is cut loses numbers.
    """
    console = Console(highlight=False)
    width = console.width if console.is_terminal else _PLAIN_WIDTH
    console.width = max(width, least_width)
    return console
