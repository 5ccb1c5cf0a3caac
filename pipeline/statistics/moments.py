"""Counts, sums, squares and ends of the numbers of some rows."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .exact_sum import UNIT, ExactSums, quotient


class Moments:
    """Counts, sums, squares and ends of numbers, which add up in any order to the same.

    Args:
        count: how many numbers a row has.

    Attributes:
        rows: how many rows.
    """

    def __init__(self, count: int):
        self.rows = 0
        self._sums, self._squares = ExactSums(count), ExactSums(count)
        self._low, self._high = np.full(count, np.inf), np.full(count, -np.inf)
        self._positive, self._negative = np.zeros(count, np.int64), np.zeros(count, np.int64)

    def add(self, rows: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Take in those of other rows.

        Args:
            rows: how many rows.
            arrays: `sums` and `squares`, terms (terms, numbers) of which each is the exact sum;
                `low`, `high`, `positive` and `negative`, (numbers,): ends, and in how many rows a
                number is positive or negative.
        """
        self.rows += rows
        self._sums.add(arrays["sums"])
        self._squares.add(arrays["squares"])
        np.minimum(self._low, arrays["low"], out=self._low)
        np.maximum(self._high, arrays["high"], out=self._high)
        self._positive += arrays["positive"]
        self._negative += arrays["negative"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for `add`; the same moments are the same."""
        return {
            "sums": self._sums.terms(),
            "squares": self._squares.terms(),
            "low": self._low,
            "high": self._high,
            "positive": self._positive,
            "negative": self._negative,
        }

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest of each number, float64 (numbers,)."""
        return self._low, self._high

    def statistics(self) -> dict[str, np.ndarray]:
        """Return statistics of each number, float64 (numbers,), by their names in the summary."""
        rows = np.full(self._low.size, self.rows)
        sums = self._sums.units(), self._squares.units()
        return statistics_of(rows, *sums, self._low, self._high, self._positive, self._negative)


def statistics_of(
    rows: np.ndarray,
    sums: Sequence[int | None],
    squares: Sequence[int | None],
    low: np.ndarray,
    high: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return statistics of numbers, float64 (numbers,), by their names in the summary.

    Args:
        rows: int64 (numbers,), how many rows each is of.
        sums, squares: as `ExactSums.units` returns them.
        low, high, positive, negative: (numbers,): ends, and in how many rows which sign is.
    """
    wholes = [count * UNIT for count in rows.tolist()]
    # The variance is that of a population. Of equal numbers, squares are rounded all the same.
    spreads = [
        None if total is None or square is None else square * whole - total * total
        for total, square, whole in zip(sums, squares, wholes, strict=True)
    ]
    variance = _quotients(spreads, [whole * whole for whole in wholes])
    variance = np.where(low < high, np.maximum(variance, 0.0), 0.0)
    return {
        "count": rows.astype(np.float64),
        "mean": _quotients(sums, wholes),
        "deviation": np.sqrt(variance),
        "mean_square": _quotients(squares, wholes),
        "minimum": low,
        "maximum": high,
        "positive": positive / rows,
        "negative": negative / rows,
    }


def _quotients(numerators: Sequence[int | None], denominators: Sequence[int]) -> np.ndarray:
    """Return quotients as the nearest float64 numbers; infinite where a sum is."""
    pairs = zip(numerators, denominators, strict=True)
    return np.array([math.inf if n is None else quotient(n, d) for n, d in pairs], np.float64)
