"""Whatever things are called, a terminal obeys none of it."""

import json
import logging

import pytest

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.log import LogConfig, set_up
from hyperdiag.messages.printable import json_text, printable, printable_lines, printable_name

# Escape sequences of seven and eight bits, what rings, goes back or turns round, and letters.
NAME = "a\x1b[2Jb\x9b1Ac\x07\r\x08\x7fd\u202ee\u2028f\u200bé漢\ud800"
SHOWN = r"a\x1b[2Jb\x9b1Ac\x07\r\x08\x7fd\u202ee\u2028f\u200bé漢\ud800"


def test_signs_that_a_terminal_obeys_are_shown_as_escapes():
    assert printable(NAME) == printable_name(NAME) == SHOWN
    assert printable("a\n\tb") == "a\n\tb"
    assert printable_name("a\n\tb") == r"a\n\tb"


def test_line_in_a_name_is_no_line_of_its_own():
    assert printable_lines("of x\nhyperdiag: done\n  - y\n\nz") == (
        "of x\n  hyperdiag: done\n  - y\n\n  z"
    )


def test_json_is_the_same_value_and_obeyed_by_no_terminal():
    text = json_text({NAME: [NAME, 1]}, indent=1)
    assert json.loads(text) == {NAME: [NAME, 1]}
    assert printable(text) == text
    assert "é漢" in text


@pytest.mark.parametrize("kind", ["text", "json"])
def test_log_and_tables_obey_nothing(capsys, monkeypatch, kind):
    logger = logging.getLogger("hyperdiag")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    set_up(LogConfig(format=kind))
    try:
        raise ValueError(NAME)
    except ValueError:
        logger.exception("column %s\nhyperdiag: published", NAME)
    console = plain_console(least_width=200)
    console.print(f"[bold]{escape(NAME)}[/] and {NAME}")
    said = capsys.readouterr()
    assert printable(said.out) == said.out
    assert printable(said.err) == said.err
    assert said.out == f"{SHOWN} and {SHOWN}\n"
    assert not any(line.startswith("hyperdiag: published") for line in said.err.splitlines())
