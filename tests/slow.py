"""Parameters of which `make test` has some, and `make slow` the others."""

from collections.abc import Iterable

import pytest


def some_slow(values: Iterable, quick: int) -> list:
    """Return parameters of which the first so many are for `make test`, the others for `make slow`.

    For kinds of one thing, of which each takes long and any few find most faults.
    """
    values = list(values)
    return values[:quick] + [
        pytest.param(value, marks=pytest.mark.slow) for value in values[quick:]
    ]


def every_other_slow(values: Iterable) -> list:
    """Return parameters of which every other one is for `make slow`, beginning with the second."""
    return [
        pytest.param(value, marks=[pytest.mark.slow] * (at % 2)) for at, value in enumerate(values)
    ]
