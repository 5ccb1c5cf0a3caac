"""A question to a module that runs in a process of its own: JSON in, JSON out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

_ANSWER = "hyperdiag answers: "


class NoAnswer(Exception):
    """The process ended without an answer, or gave none in time; the message says why."""


def ask(module: str, question: Any, environment: Mapping[str, str], most_seconds: float) -> Any:
    """Return what a module answers when it is run as a program, with a question on its input.

    Args:
        module: its name; run as a program it calls `answer`.
        question: plain values, as JSON has them; so is the answer.
        environment: variables that the process has besides those of this one.
        most_seconds: after which the process is killed.

    Raises:
        NoAnswer: with the last line that it printed on standard error, if it answers nothing.
    """
    try:
        process = subprocess.run(
            # Without the current folder in Python's path: a `hyperdiag` of the user's is not ours.
            [sys.executable, "-P", "-m", module],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=most_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"no answer in {most_seconds:g} s") from error
    # Among whatever the user's code prints besides.
    answers = [line for line in process.stdout.splitlines() if line.startswith(_ANSWER)]
    if process.returncode != 0 or not answers:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise NoAnswer(lines[-1])
    return json.loads(answers[0].removeprefix(_ANSWER))


def answer(function: Callable[[Any], Any]) -> None:
    """Answer the question on standard input with what a function makes of it."""
    print(f"\n{_ANSWER}{json.dumps(function(json.load(sys.stdin)))}", flush=True)
