"""Markdown pages as these tests see them: fenced blocks, code in lines, links, headings."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "conf/*.md", "deploy/*.md", "pipeline/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)
# A block that is a file says so in its first line.
_FILE_NAME = re.compile(r"^# ([\w./-]+\.(?:py|yaml))\n")


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        language: python, console, text, ...; empty if none is given.
        text: what is between the fences.
        line: the number of its first line in the page.
        follows: whether nothing but blank lines is between it and the block before.
    """

    language: str
    text: str
    line: int
    follows: bool

    @property
    def file_name(self) -> str | None:
        """The name of the file that it is, if it says so."""
        found = _FILE_NAME.match(self.text)
        return found[1] if found else None


class Command(NamedTuple):
    """A command of a console block, with what it prints.

    Attributes:
        text: the command, on one line or several.
        output: the lines after it.
        line: its number in the page.
    """

    text: str
    output: str
    line: int


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    found, end = [], 0
    for match in _FENCE.finditer(text):
        indent = len(match[1])
        lines = [line[indent:] for line in match[3].splitlines(keepends=True)]
        line = text.count("\n", 0, match.start()) + 2
        follows = bool(found) and not text[end : match.start()].strip()
        found.append(Block(match[2], "".join(lines), line, follows))
        end = match.end()
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block: lines that begin with `$ `, and go on after a \\."""
    found: list[Command] = []
    going_on = False
    for number, line in enumerate(block.text.splitlines(keepends=True), start=block.line):
        if line.startswith("$ "):
            found.append(Command(line[2:], "", number))
        elif going_on:
            found[-1] = found[-1]._replace(text=found[-1].text + line)
        elif found:
            found[-1] = found[-1]._replace(output=found[-1].output + line)
        going_on = line.endswith("\\\n") and (going_on or line.startswith("$ "))
    return found


def outside_of_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def code_in_lines(text: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", outside_of_blocks(text))


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", outside_of_blocks(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", outside_of_blocks(text), re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}
