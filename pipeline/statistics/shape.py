"""What there are statistics of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .numbers import RowNumbers
from .sampling import Sample

_OF_A_SUM, _OF_A_HISTOGRAM = 100, 12_000  # bytes, for a number
_MOST_SAMPLED, _MOST_SAMPLED_OF_A_GROUP = 1 << 12, 1 << 10


@dataclass(frozen=True)
class Shape:
    """What there are statistics of.

    Attributes:
        numbers: of a row.
        ranges: (low, high) of each direction, of its curves.
        bins: of each curve, between the ends of its input's range; 0: there are no curves.
        curve_step: curves are of a sample of one row in so many.
        sample_step: one row in so many is kept with the numbers that curves are of; 0: none. A
            multiple of the step of curves.
        histograms: whether there are any: they take memory for each number.
        extreme_rows: how many are kept of each list.
        by: the column that tells the group of a row; None: there are no groups.
    """

    numbers: RowNumbers
    ranges: Sequence[tuple[float, float]]
    bins: int
    curve_step: int
    sample_step: int
    histograms: bool
    extreme_rows: int
    by: str | None = None

    @property
    def curves(self) -> tuple[int, int, int, int]:
        """The shape of the sums of curves: quantities, m, k, bins."""
        numbers = self.numbers
        sizes = len(numbers.outputs), len(numbers.directions)
        return len(numbers.curves), *sizes, self.bins

    @property
    def most_sampled(self) -> int:
        """How many rows a sample has at most.

        As many of all rows as of a group: whose rows they are when some are left out is not seen.
        """
        return _MOST_SAMPLED if self.by is None else _MOST_SAMPLED_OF_A_GROUP

    @property
    def bytes_taken(self) -> int:
        """About how much memory statistics of this shape take, of numbers that span few octaves."""
        numbers = self.numbers
        lists = 4 * len(numbers.outputs) * self.extreme_rows
        return (
            (_OF_A_HISTOGRAM if self.histograms else _OF_A_SUM) * numbers.count
            + _OF_A_SUM * math.prod(self.curves)
            + 8 * lists * (len(numbers.inputs) + 4)
            + (4 * self.most_sampled * numbers.sampled if self.sample_step else 0)
        )

    def bins_of(self, inputs: np.ndarray) -> np.ndarray:
        """Return the bins of inputs (k, rows); of those outside their range, how many there are."""
        low, high = np.array(self.ranges, np.float64).reshape(-1, 2, 1).transpose(1, 0, 2)
        # Not times bins / (high - low), which is infinite of the smallest numbers.
        place = np.floor((inputs - low) / (high - low) * self.bins)
        place[inputs == high] = self.bins - 1
        return np.where((place >= 0) & (place < self.bins), place, self.bins).astype(np.intp)

    def no_sample(self) -> Sample:
        """Return a sample of no rows."""
        return Sample(np.zeros(0, np.int64), np.zeros((0, self.numbers.sampled), np.float32))
