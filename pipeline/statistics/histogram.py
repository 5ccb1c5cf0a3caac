"""How often numbers of each magnitude came: counts that add up exactly, and their quantiles.

A bin holds the numbers that agree, as float32, in sign, exponent and the first digits after the
leading one. With six such digits its ends differ by at most 1/64, so that its middle is within 0.8%
of each of them. Such a sketch is known as a log-linear, or HDR, histogram.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

DIGITS = 6  # binary ones that follow the leading one
_DIGITS, _EXPONENT = 23, 8  # binary digits of a float32: those that follow, and the exponent's
AROUND_ZERO = 2  # of the bins: of either sign
BLOCK_BITS = 6
BLOCK = 1 << BLOCK_BITS  # bins that are kept together
_LARGEST = np.finfo(np.float32).max


class Counts(NamedTuple):
    """How often the bins of some blocks came.

    Attributes:
        codes: int64 (blocks,), ascending: the position of the number that each is of, times
            `blocks_of`, plus which of its blocks it is.
        counts: int64 (blocks, `BLOCK`), of each block's bins.
    """

    codes: np.ndarray
    counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for `Counts.of`."""
        # Differences are smaller.
        return {"codes": np.diff(self.codes, prepend=0), "counts": self.counts}

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> "Counts":
        """Return the counts of such arrays."""
        return Counts(np.cumsum(arrays["codes"]), arrays["counts"])


def blocks_of(digits: int) -> int:
    """Return how many blocks of bins a number has."""
    return 1 << (1 + _EXPONENT + digits - BLOCK_BITS)


def bins_of(numbers: np.ndarray, digits: int = DIGITS) -> np.ndarray:
    """Return the bins, uint32, of finite numbers (..., rows), float32 or float64.

    Bins are numbered by size, the negative one of a size after the positive one. Beyond the largest
    float32 counts as that; what is below the smallest counts as zero.
    """
    if numbers.dtype != np.float32:
        numbers = np.clip(numbers, -_LARGEST, _LARGEST).astype(np.float32)
    bits = numbers.view(np.uint32)
    bins = bits >> np.uint32(_DIGITS - digits - 1)
    bins &= np.uint32((2 << (_EXPONENT + digits)) - 2)
    bins |= bits >> np.uint32(31)
    return bins


def _ends(bins: np.ndarray, digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sign, and the least and the largest size, float64, of what each bin holds."""
    size, dropped = (bins >> 1).astype(np.uint32), _DIGITS - digits
    low = (size << dropped).view(np.float32).astype(np.float64)
    high = ((size + 1) << dropped).view(np.float32).astype(np.float64)
    around_zero = bins < AROUND_ZERO
    high = np.where(around_zero, 0.0, np.where(np.isfinite(high), high, low))
    return np.where(bins % 2 == 1, -1.0, 1.0), low, high


class Histograms:
    """A histogram for each of some numbers of a row, with memory for those blocks that occur.

    Args:
        count: how many numbers a row has.
        digits: binary ones that follow the leading one, in which the numbers of a bin agree.
    """

    def __init__(self, count: int, digits: int = DIGITS):
        self._digits = digits
        self._at = np.full((count, blocks_of(digits)), -1, np.int64)
        self._counts = np.zeros((0, BLOCK), np.int64)
        self._used = 0

    def add(self, counts: Counts) -> None:
        """Add counts."""
        flat = self._at.reshape(-1)
        at = flat[counts.codes]
        missing = np.flatnonzero(at < 0)
        if missing.size:
            self._make_room(self._used + missing.size)
            at[missing] = np.arange(self._used, self._used + missing.size)
            flat[counts.codes[missing]] = at[missing]
            self._used += missing.size
        self._counts[at] += counts.counts

    def _make_room(self, blocks: int) -> None:
        if blocks > len(self._counts):
            more = max(blocks, 2 * len(self._counts)) - len(self._counts)
            self._counts = np.concatenate([self._counts, np.zeros((more, BLOCK), np.int64)])

    def counts(self) -> Counts:
        """Return all counts; the same are the same."""
        codes = np.flatnonzero(self._at >= 0)
        return Counts(codes, self._counts[self._at.reshape(-1)[codes]])

    def of(self, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the bins of a number of the row that hold any, by size with their sign.

        Returns:
            The ends (bins,) that are nearer to zero and those that are not, float64, and counts.
        """
        blocks = np.flatnonzero(self._at[position] >= 0)
        counts = self._counts[self._at[position, blocks]]
        block, place = np.nonzero(counts)
        sign, low, high = _ends(blocks[block] * BLOCK + place, self._digits)
        order = np.argsort(sign * (low + high), kind="stable")
        return (sign * low)[order], (sign * high)[order], counts[block, place][order]


def quantile(near: np.ndarray, far: np.ndarray, counts: np.ndarray, level: float) -> float:
    """Return the middle of the bin of a quantile.

    Of the smallest number that so large a part of all does not exceed: what SQL calls
    PERCENTILE_DISC.

    Args:
        near, far, counts: as `Histograms.of` returns them.
        level: from 0 to 1.
    """
    total = np.cumsum(counts)
    at = np.searchsorted(total, max(level * total[-1], 1))
    return float(near[at] + far[at]) / 2


def smooth_quantile(near: np.ndarray, far: np.ndarray, counts: np.ndarray, level: float) -> float:
    """Return a quantile as if the numbers of each bin lay evenly between its ends.

    Args:
        near, far, counts: as `Histograms.of` returns them.
        level: from 0 to 1.
    """
    total = np.cumsum(counts)
    wanted = level * total[-1]
    at = min(int(np.searchsorted(total, wanted)), total.size - 1)
    low, high = min(near[at], far[at]), max(near[at], far[at])
    return float(low + (high - low) * (1 - (total[at] - wanted) / counts[at]))
