"""Counts, sums, squares and ends of the numbers of some rows."""

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from .exact_sum import ExactSums


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

    def mean_square(self, at: int) -> float:
        """Return the mean of the squares of the numbers at a position."""
        squares = self._squares.fraction(at)
        return math.inf if squares is None else float(squares / self.rows)

    def variance(self, at: int) -> float:
        """Return the variance, that of a population: mean square less squared mean."""
        total, squares = self._sums.fraction(at), self._squares.fraction(at)
        if total is None or squares is None:
            return math.inf
        if self._low[at] == self._high[at]:
            return 0.0
        mean = total / self.rows
        return float(max(squares / self.rows - mean * mean, Fraction(0)))

    def statistics(self, at: int) -> dict[str, float]:
        """Return the statistics of the numbers at a position, by their names in the summary."""
        total = self._sums.fraction(at)
        return {
            "count": self.rows,
            "mean": math.inf if total is None else float(total / self.rows),
            "deviation": math.sqrt(self.variance(at)),
            "mean_square": self.mean_square(at),
            "minimum": self.low(at),
            "maximum": self.high(at),
            "positive": self._positive[at] / self.rows,
            "negative": self._negative[at] / self.rows,
        }
