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
        whole = self.rows * UNIT
        sums, squares = self._sums.units(), self._squares.units()
        # The variance is that of a population. Of equal numbers, squares are rounded all the same.
        spreads = [
            None if total is None or square is None else square * whole - total * total
            for total, square in zip(sums, squares, strict=True)
        ]
        variance = np.where(self._low < self._high, _quotients(spreads, whole * whole), 0.0)
        return {
            "count": np.full(len(sums), float(self.rows)),
            "mean": _quotients(sums, whole),
            "deviation": np.sqrt(np.maximum(variance, 0.0)),
            "mean_square": _quotients(squares, whole),
            "minimum": self._low,
            "maximum": self._high,
            "positive": self._positive / self.rows,
            "negative": self._negative / self.rows,
        }


def _quotients(numerators: Sequence[int | None], denominator: int) -> np.ndarray:
    """Return quotients as the nearest float64 numbers; infinite where a sum is."""
    return np.array([math.inf if n is None else quotient(n, denominator) for n in numerators])
