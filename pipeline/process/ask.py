"""Asking a module in a process of its own: JSON in, JSON out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_ANSWER = "hyperdiag answers: "


class NoAnswer(Exception):
    """The process ended without an answer, or gave none in time; the message says why."""


def ask(module: str, question: Any, environment: Mapping[str, str], most_seconds: float) -> Any:
    """Return what a module answers when it is run with a question.

    Args:
        module: its name; run as a program it calls `answer`.
        question: what JSON holds.
        environment: variables that the process has besides those of this one.
        most_seconds: after which it is ended.

    Raises:
        NoAnswer: with the last line that it printed on standard error, if it answers nothing.
    """
    try:
        done = subprocess.run(
            # Without the current folder first: a `pipeline` of the user's is not ours.
            [sys.executable, "-P", "-m", module],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=most_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"no answer in {most_seconds:g} s") from error
    # Whatever the user's code prints besides.
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode != 0 or not answers:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoAnswer(said[-1])
    return json.loads(answers[0].removeprefix(_ANSWER))


def answer(function: Callable[[Any], Any]) -> None:
    """Answer the question on standard input with what a function makes of it."""
    # The network's own module may be in the current folder.
    sys.path.insert(0, str(Path.cwd()))
    print(f"\n{_ANSWER}{json.dumps(function(json.load(sys.stdin)))}", flush=True)
