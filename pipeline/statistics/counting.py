"""Counting the numbers of a shard's rows by bins: of each, from its lowest bin to its highest."""

import numpy as np

from .histogram import AROUND_ZERO, BINS, bins_of

Counts = tuple[np.ndarray, np.ndarray]


class Counting:
    """Counts the numbers of rows by bins, in memory for those bins that lie between others.

    Args:
        count: how many numbers a row has.
    """

    def __init__(self, count: int):
        self._first = np.zeros(count, np.int64)
        self._counts = [np.zeros(0, np.int64)] * count
        # Bins around zero are far from all others.
        self._zeros = np.zeros((count, AROUND_ZERO), np.int64)
        self._tiny = np.zeros((count, 2), np.int64)

    def add(self, start: int, block: np.ndarray) -> None:
        """Count finite numbers (numbers, rows), of the positions from `start` on."""
        bins = bins_of(block)
        low, high = bins.min(axis=1), bins.max(axis=1)
        for at in np.flatnonzero(low < AROUND_ZERO).tolist():
            small = bins[at] < AROUND_ZERO
            self._zeros[start + at] += np.bincount(bins[at, small], minlength=AROUND_ZERO)
            numbers = block[at, small]  # zeros, as a rule
            self._tiny[start + at] += np.count_nonzero(numbers > 0), np.count_nonzero(numbers < 0)
            rest = bins[at, ~small]
            if rest.size:
                self._add_counts(start + at, int(rest.min()), np.bincount(rest - rest.min()))
        others = np.flatnonzero(low >= AROUND_ZERO)
        if others.size < len(bins):
            bins, low, high = bins[others], low[others], high[others]
        if not others.size:
            return
        # All of them with one call: each has a width of its own, beside those before it.
        widths = (high - low + 1).astype(np.int64)
        ends = np.cumsum(widths)
        bins -= low[:, None]
        bins += (ends - widths).astype(np.uint32)[:, None]
        counts = np.bincount(bins.ravel(), minlength=int(ends[-1]))
        for at, each in enumerate(np.split(counts, ends[:-1])):
            self._add_counts(start + int(others[at]), int(low[at]), each)

    def _add_counts(self, position: int, low: int, more: np.ndarray) -> None:
        """Add counts of consecutive bins."""
        counts, first = self._counts[position], int(self._first[position])
        if not counts.size:
            first = low
        if low < first or low + more.size > first + counts.size:
            begin = min(low, first)
            wider = np.zeros(max(low + more.size, first + counts.size) - begin, np.int64)
            wider[first - begin : first - begin + counts.size] = counts
            counts, first = wider, begin
        counts[low - first : low - first + more.size] += more
        self._counts[position], self._first[position] = counts, first

    def signs(self) -> Counts:
        """Return how many rows have a positive, and a negative, number: (count,) each."""
        counts = self._tiny.copy()
        for position, (first, each) in enumerate(zip(self._first, self._counts, strict=True)):
            odd = int(first) % 2
            counts[position] += each[odd::2].sum(), each[1 - odd :: 2].sum()
        return counts[:, 0], counts[:, 1]

    def nonzero(self) -> Counts:
        """Return codes, in ascending order, and counts, as `Histograms.add` takes them."""
        codes, counts = [], []
        near_zero = np.any(self._zeros, axis=1)
        for position, each in enumerate(self._counts):
            if near_zero[position]:
                zeros = self._zeros[position]
                occupied = np.flatnonzero(zeros)
                codes.append(occupied + position * BINS)
                counts.append(zeros[occupied])
            occupied = np.flatnonzero(each != 0)
            codes.append(occupied + (position * BINS + self._first[position]))
            counts.append(each[occupied])
        return np.concatenate(codes), np.concatenate(counts)
