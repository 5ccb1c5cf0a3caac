"""Does what a page says, in the current folder.

Blocks are taken in order. A `python` block is run in the namespace of those before it, and what it
prints is compared with a `text` block that follows at once. A block whose first line names a file
is written to it as well. Commands of a `console` block are run by bash; each must end with 0,
unless `$ echo $?` asks for its exit code, and what is printed is compared with the lines below it.
Other blocks are for people. `...` stands for any text, and numbers that tell time, rate, size, a
digest or rounding stand for any such number.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

from tests.pages.markdown import Block, blocks, commands, read

HOME = "/home/me"  # what pages call the folder that they are tried in

_VOLATILE = (
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:]+Z"), "MOMENT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d[\d,.]* rows/s"), "RATE"),
    (re.compile(r"\b(\d+ (h|min) )*\d[\d.]* (s|min)\b"), "SECONDS"),
    (re.compile(r"\b\d[\d,.]* (bytes|kB|MB|GB)"), "SIZE"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "DIGEST"),
    (re.compile(r"\berror \d\.\de[-+]\d\d"), "ROUNDING"),
    # As the timing chooses, which may find any of them the fastest on a busy machine.
    (re.compile(r"(?<=, by )[a-z]+(_[a-z]+)*\b(?=\n|$)"), "METHOD"),
)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def same(wanted: str, got: str) -> bool:
    """Tell whether a text is what a page says, but for what differs each time."""
    for pattern, word in _VOLATILE:
        wanted, got = pattern.sub(word, wanted), pattern.sub(word, got)
    return doctest.OutputChecker().check_output(wanted, got, _FLAGS)


def write_file(block: Block) -> None:
    """Write a block that is a file, in the current folder."""
    if block.file_name:
        path = Path(block.file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


class Player:
    """Plays one page.

    Attributes:
        faults: what was not as the page says.
    """

    def __init__(self, page: str):
        self._page = page
        self._namespace = {"__name__": "__page__"}
        self._code = 0
        self.faults: list[str] = []

    def play(self, text: str) -> None:
        found = blocks(text)
        for block, after in zip(found, [*found[1:], None], strict=True):
            write_file(block)
            if block.language == "python":
                wanted = after.text if after and after.language == "text" and after.follows else ""
                self._python(block, wanted)
            elif block.language == "console":
                self._console(block)

    def _python(self, block: Block, wanted: str) -> None:
        printed = io.StringIO()
        try:
            # The lines of the page in a traceback.
            source = "\n" * (block.line - 1) + block.text
            with contextlib.redirect_stdout(printed):
                exec(compile(source, self._page, "exec"), self._namespace)
        except Exception:
            self.faults.append(f"{self._page}:{block.line}\n{traceback.format_exc()}")
        else:
            self._compare(block.line, wanted, printed.getvalue())

    def _console(self, block: Block) -> None:
        found = commands(block)
        for command, after in zip(found, [*found[1:], None], strict=True):
            # So that `echo $?` tells what it would in one shell.
            done = subprocess.run(
                ["bash", "-c", f"(exit {self._code}); {command.text}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                check=False,
            )
            asked = after is not None and after.text.strip() == "echo $?"
            self._code = done.returncode
            if self._code and not asked:
                self.faults.append(
                    f"{self._page}:{command.line} ended with {self._code}: {command.text}"
                    f"{done.stdout}"
                )
            else:
                self._compare(command.line, command.output, done.stdout)

    def _compare(self, line: int, wanted: str, got: str) -> None:
        got = got.replace(str(Path.cwd()), HOME)
        if wanted.strip() and not same(wanted, got):
            self.faults.append(f"{self._page}:{line} says\n{wanted}\nand it is\n{got}")


def main() -> None:
    page = sys.argv[1]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {"PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"}
    player = Player(page)
    player.play(read(page))
    print("\n\n".join(player.faults))
    sys.exit(bool(player.faults))
