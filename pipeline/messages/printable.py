"""Text of others that reaches a terminal: signs that it would obey are written as escapes.

A column, a file or a network may be called anything: an escape sequence in a name would move the
cursor, hide a line, or fill the clipboard of whoever looks; a sign that turns the direction of
writing shows another name than is there.
"""

import json
import re
from typing import Any

# Control signs of both kinds, but for tab and end of line; separators of lines and paragraphs; what
# is not seen, or turns the direction of writing; halves of a pair, which no encoding takes.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_IN_NAME = re.compile(f"[\t\n]|{_OBEYED.pattern}")
_INDENTED = re.compile(r"^(?=[^ \t])")  # a line that is not indented yet
_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    """Return a text without signs that a terminal obeys, but for tab and end of line."""
    return _OBEYED.sub(_escaped, text)


def printable_name(text: str) -> str:
    """Return a text that stays on its line: a name, or a cell of a table."""
    return _IN_NAME.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return a text whose further lines cannot be taken for lines of their own: they are indented.

    So that nobody's name or message adds a line to a log.
    """
    first, *further = printable(text).split("\n")
    return "\n".join([first, *(_INDENTED.sub("  ", line) for line in further)])


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON: letters stay what they are, and what is obeyed is escaped."""
    return _OBEYED.sub(
        lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(value, ensure_ascii=False, **options)
    )


def _escaped(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    return _ESCAPES.get(sign[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
