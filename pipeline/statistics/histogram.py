"""How often numbers of each magnitude came: counts that add up exactly, and their quantiles.

A bin holds the numbers that agree, as float32, in sign, exponent and the first six digits after
the leading one: its ends differ by at most 1/64, so that its middle is within 0.8% of each of them.
Such a sketch is known as a log-linear, or HDR, histogram.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_DROPPED = 17  # of the 23 binary digits of a float32 that follow the leading one
_BINS = 1 << (32 - _DROPPED)  # of a number
PRECISION = 0.008  # within which a number is beside the middle of its bin: 1/128, rounded up
AROUND_ZERO = 2  # of these bins: of either sign
BLOCK_BITS = 6
BLOCK = 1 << BLOCK_BITS  # bins that are kept together: half an octave
BLOCKS = _BINS // BLOCK  # of a number
_LARGEST = np.finfo(np.float32).max


def bins_of(numbers: np.ndarray) -> np.ndarray:
    """Return the bins, uint32, of finite numbers (..., rows), float32 or float64.

    Bins are numbered by size, the negative one of a size after the positive one. Beyond the largest
    float32 counts as that; what is below the smallest counts as zero.
    """
    if numbers.dtype != np.float32:
        numbers = np.clip(numbers, -_LARGEST, _LARGEST).astype(np.float32)
    bits = numbers.view(np.uint32)
    bins = bits >> np.uint32(_DROPPED - 1)
    bins &= np.uint32(_BINS - 2)
    bins |= bits >> np.uint32(31)
    return bins


def middles(bins: np.ndarray) -> np.ndarray:
    """Return the middle of each bin, float64; zero of those around zero."""
    size = (bins >> 1).astype(np.uint32)
    low = (size << _DROPPED).view(np.float32).astype(np.float64)
    high = ((size + 1) << _DROPPED).view(np.float32).astype(np.float64)
    middle = np.where(np.isfinite(high), (low + high) / 2, low)
    return np.where(bins < AROUND_ZERO, 0.0, np.where(bins % 2 == 1, -middle, middle))


class Counts(NamedTuple):
    """How often the bins of some blocks came.

    Attributes:
        codes: int64 (blocks,), ascending: the position of the number that each is of, times
            `BLOCKS`, plus which of its blocks it is.
        counts: int64 (blocks, `BLOCK`), of each block's bins.
    """

    codes: np.ndarray
    counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for `of`."""
        # Differences are smaller.
        return {"codes": np.diff(self.codes, prepend=0), "counts": self.counts}

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> "Counts":
        """Return the counts in arrays, as `arrays` returned them."""
        return Counts(np.cumsum(arrays["codes"]), arrays["counts"])


class Histograms:
    """A histogram for each of some numbers of a row, with memory for those blocks that occur.

    Args:
        count: how many numbers a row has.
    """

    def __init__(self, count: int):
        self._at = np.full(count * BLOCKS, -1, np.int64)
        self._counts = np.zeros((0, BLOCK), np.int64)
        self._used = 0

    def add(self, more: Counts) -> None:
        """Add counts."""
        at = self._at[more.codes]
        missing = more.codes[at < 0]
        if missing.size:
            self._make_room(missing)
            at = self._at[more.codes]
        self._counts[at] += more.counts

    def _make_room(self, codes: np.ndarray) -> None:
        end = self._used + codes.size
        if end > len(self._counts):
            more = max(end, 2 * len(self._counts)) - len(self._counts)
            self._counts = np.concatenate([self._counts, np.zeros((more, BLOCK), np.int64)])
        self._at[codes] = np.arange(self._used, end)
        self._used = end

    def counts(self) -> Counts:
        """Return all counts; the same are the same."""
        codes = np.flatnonzero(self._at >= 0)
        return Counts(codes, self._counts[self._at[codes]])

    def of(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the middles, ascending, and the counts of the bins of a number of the row."""
        at = self._at[position * BLOCKS : (position + 1) * BLOCKS]
        blocks = np.flatnonzero(at >= 0)
        counts = self._counts[at[blocks]]
        block, place = np.nonzero(counts)
        values, counts = middles(blocks[block] * BLOCK + place), counts[block, place]
        order = np.argsort(values, kind="stable")
        return values[order], counts[order]


def quantiles(values: np.ndarray, counts: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return the values at levels, from 0 to 1, of values that come so often each.

    The smallest that so large a part of all does not exceed: what SQL calls PERCENTILE_DISC.
    """
    total = np.cumsum(counts)
    return values[np.searchsorted(total, np.maximum(np.multiply(levels, total[-1]), 1))]
