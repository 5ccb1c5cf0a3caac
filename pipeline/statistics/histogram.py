"""How often numbers of each magnitude came: counts that add up exactly, and their quantiles.

A bin holds the numbers that agree, as float32, in sign, exponent and the first six digits after
the leading one: its ends differ by at most 1/64, so that its middle is within 0.8% of each of them.
Such a sketch is known as a log-linear, or HDR, histogram.
"""

import numpy as np

_DROPPED = 17  # of the 23 binary digits of a float32 that follow the leading one
BINS = 1 << (32 - _DROPPED)  # of a number
AROUND_ZERO = 2  # of these bins: of either sign
_BLOCK_BITS = 6
_BLOCK = 1 << _BLOCK_BITS  # bins that are kept together: half an octave
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
    bins &= np.uint32(BINS - 2)
    bins |= bits >> np.uint32(31)
    return bins


def middles(bins: np.ndarray) -> np.ndarray:
    """Return the middle of each bin, float64; zero of those around zero."""
    size = (bins >> 1).astype(np.uint32)
    low = (size << _DROPPED).view(np.float32).astype(np.float64)
    high = ((size + 1) << _DROPPED).view(np.float32).astype(np.float64)
    middle = np.where(np.isfinite(high), (low + high) / 2, low)
    return np.where(bins < AROUND_ZERO, 0.0, np.where(bins % 2 == 1, -middle, middle))


class Histograms:
    """A histogram for each of some numbers of a row, with memory for those octaves that occur.

    Args:
        count: how many numbers a row has.
    """

    def __init__(self, count: int):
        self._block = np.full(count * (BINS // _BLOCK), -1, np.int64)
        self._counts = np.zeros((0, _BLOCK), np.int64)
        self._used = 0

    def add(self, codes: np.ndarray, counts: np.ndarray) -> None:
        """Add counts to bins, each of which comes once.

        Args:
            codes: int64, ascending: 32,768 times the number's position, plus the bin.
            counts: int64, of each.
        """
        blocks = codes >> _BLOCK_BITS
        places = self._block[blocks]
        if places.size and places.min() < 0:
            missing = blocks[places < 0]  # ascending, as codes are
            self._make_room(missing[np.diff(missing, prepend=-1) > 0])
            places = self._block[blocks]
        at = (places << _BLOCK_BITS) | (codes & (_BLOCK - 1))
        self._counts.reshape(-1)[at] += counts

    def _make_room(self, blocks: np.ndarray) -> None:
        end = self._used + blocks.size
        if end > len(self._counts):
            more = max(end, 2 * len(self._counts)) - len(self._counts)
            self._counts = np.concatenate([self._counts, np.zeros((more, _BLOCK), np.int64)])
        self._block[blocks] = np.arange(self._used, end)
        self._used = end

    def nonzero(self) -> tuple[np.ndarray, np.ndarray]:
        """Return codes, in ascending order, and counts of all bins that hold numbers."""
        octaves = np.flatnonzero(self._block >= 0)
        counts = self._counts[self._block[octaves]]
        at, place = np.nonzero(counts)
        return octaves[at] * _BLOCK + place, counts[at, place]

    def of(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the middles, ascending, and the counts of the bins of a number of the row."""
        blocks = BINS // _BLOCK
        octaves = np.flatnonzero(self._block[position * blocks : (position + 1) * blocks] >= 0)
        counts = self._counts[self._block[position * blocks + octaves]]
        at, place = np.nonzero(counts)
        values, counts = middles(octaves[at] * _BLOCK + place), counts[at, place]
        order = np.argsort(values, kind="stable")
        return values[order], counts[order]


def quantile(values: np.ndarray, counts: np.ndarray, level: float) -> float:
    """Return the value at a level, from 0 to 1, of values that come so often each.

    The smallest that so large a part of all does not exceed: what SQL calls PERCENTILE_DISC.
    """
    total = np.cumsum(counts)
    return float(values[np.searchsorted(total, max(level * total[-1], 1))])
