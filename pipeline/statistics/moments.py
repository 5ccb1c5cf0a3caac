"""Counts, sums, squares and ends of the numbers of some rows."""

import math
from collections.abc import Mapping

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

    def low(self, at: int) -> float:
        """Return the least of the numbers at a position."""
        return float(self._low[at])

    def high(self, at: int) -> float:
        """Return the largest of the numbers at a position."""
        return float(self._high[at])

    def statistics(self) -> list[dict[str, float]]:
        """Return the statistics of the numbers at each position, by their names in the summary."""
        pairs = zip(self._sums.units(), self._squares.units(), strict=True)
        return [self._statistics(at, *pair) for at, pair in enumerate(pairs)]

    def _statistics(self, at: int, total: int | None, squares: int | None) -> dict[str, float]:
        whole = self.rows * UNIT
        mean = math.inf if total is None else quotient(total, whole)
        mean_square = variance = math.inf
        if squares is not None:
            mean_square = quotient(squares, whole)
        if total is not None and squares is not None:
            # That of a population. Of equal numbers, the squares are rounded all the same.
            spread = squares * whole - total * total if self._low[at] < self._high[at] else 0
            variance = quotient(spread, whole * whole)
        return {
            "count": self.rows,
            "mean": mean,
            "deviation": math.sqrt(max(variance, 0.0)),
            "mean_square": mean_square,
            "minimum": self.low(at),
            "maximum": self.high(at),
            "positive": self._positive[at] / self.rows,
            "negative": self._negative[at] / self.rows,
        }
