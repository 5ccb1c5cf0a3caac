"""Errors that a person is meant to read: each names the thing, the place and the mend."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class HyperdiagError(Exception):
    """Base of every error that this project raises on purpose."""


class UsageError(HyperdiagError):
    """The configuration or the input cannot be used as given (exit code 2).

    Holds every problem that was found, so that a person can mend them all at once.
    """

    def __init__(self, problems: str | Sequence[str]):
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), (self.problems,)


class Busy(HyperdiagError):
    """Another run is at work on what this one needs, or may be: try again later (exit code 75)."""


class InputError(HyperdiagError):
    """A file of the dataset cannot be read, or is not the one that was planned."""


class OutputError(HyperdiagError):
    """The output cannot be written (disk full, permission, store refuses): the run stops."""


class RunIncomplete(HyperdiagError):
    """The run ended without publishing (exit code 1); finished shards are kept."""


class Problems:
    """Collects problems, so that they can be reported together, each once."""

    def __init__(self) -> None:
        self._problems: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(self, problem: str) -> None:
        """Record one problem."""
        self._problems.setdefault(problem)

    def extend(self, problems: Iterable[str]) -> None:
        """Record several problems."""
        self._problems |= dict.fromkeys(problems)

    def attempt(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a step returns; None if it raises UsageError, whose problems are kept."""
        try:
            return step(*arguments)
        except UsageError as error:
            self.extend(error.problems)
            return None

    def check(self) -> None:
        """Raise `UsageError` with everything found so far, if anything was."""
        if self:
            raise UsageError(list(self._problems))


def closest(name: str, options: Iterable[str]) -> str:
    """Return ` (closest: 'x')` for the option most like `name`, or an empty string."""
    by_lower = {option.lower(): option for option in options}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (closest: '{by_lower[match[0]]}')" if match else ""


def closest_or_all(name: str, options: Iterable[str]) -> str:
    """Return what `closest` does, or where nothing is like `name`, ` (there are: a, b, c)`."""
    options = list(options)
    return closest(name, options) or f" (there are: {listed(options) or 'none'})"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names joined for a sentence, the tail counted where there are many."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
