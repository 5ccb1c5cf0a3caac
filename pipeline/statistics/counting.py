"""Counting the numbers of a shard's rows by bins: of each, from its lowest block to its highest."""

from typing import NamedTuple

import numpy as np

from .histogram import AROUND_ZERO, BLOCK, BLOCK_BITS, BLOCKS, Counts, bins_of

_NOWHERE = np.iinfo(np.uint32).max
_MARGIN = 4  # blocks


class Counting:
    """Counts the numbers of rows by bins.

    Args:
        count: how many numbers a row has.
    """

    def __init__(self, count: int):
        self._parts: dict[int, _Part] = {}
        # Bins around zero also hold what is too small for one of its own, but has a sign.
        self._tiny = np.zeros((2, count), np.int64)

    def add(self, start: int, numbers: np.ndarray) -> None:
        """Count finite numbers (numbers, rows), of the positions from `start` on.

        Those of one start are as many each time.
        """
        if start not in self._parts:
            self._parts[start] = _Part(len(numbers))
        bins = bins_of(numbers)
        spans = _spans_of(bins)
        if spans.zeros.any():
            zeros = np.flatnonzero(spans.zeros)
            tiny = np.where(bins[zeros] < AROUND_ZERO, numbers[zeros], 0)
            self._tiny[:, start + zeros] += np.sum([tiny > 0, tiny < 0], axis=2)
        self._parts[start].add(bins, spans)

    def counts(self) -> Counts:
        """Return all counts."""
        parts = [part.counts(start) for start, part in sorted(self._parts.items())]
        return Counts(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def signs(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """Return how many rows have a positive, and a negative, number: (count,) each.

        Args:
            counts: all of them.
        """
        positive, negative = self._tiny.copy()
        position, block = np.divmod(counts.codes, BLOCKS)
        around_zero = np.where((block == 0)[:, None], counts.counts[:, :AROUND_ZERO], 0)
        for total, sign in ((positive, 0), (negative, 1)):
            rows = counts.counts[:, sign::2].sum(axis=1) - around_zero[:, sign]
            np.add.at(total, position, rows)
        return positive, negative


class _Part:
    """Counts of the bins of some numbers, side by side.

    Args:
        numbers: how many.
    """

    def __init__(self, numbers: int):
        nothing = np.full(numbers, _NOWHERE), np.full(numbers, -1), np.zeros(numbers, np.int64)
        self._lay_out(_Spans(*nothing))

    def _lay_out(self, spans: "_Spans") -> None:
        self._spans = spans
        self._widths = np.maximum(spans.last - spans.first + 1, 0) + spans.zeros
        ends = np.cumsum(self._widths)
        self._begins = ends - self._widths
        blocks = self._begins + spans.zeros - spans.first
        self._offsets = (blocks << BLOCK_BITS).astype(np.uint32)[:, None]
        self._counts = np.zeros((ends[-1], BLOCK), np.int64)

    def add(self, bins: np.ndarray, spans: "_Spans") -> None:
        """Count bins (numbers, rows), of `bins_of`, with these spans; they are overwritten."""
        if not self._spans.cover(spans):
            self._widen(self._spans.joined(spans))
        if spans.zeros.any():
            zeros = np.flatnonzero(spans.zeros)
            shift = ((self._spans.first[zeros] - 1) << BLOCK_BITS).astype(np.uint32)
            bins[zeros] += np.where(bins[zeros] < BLOCK, shift[:, None], np.uint32(0))
        bins += self._offsets
        counts = np.bincount(bins.ravel(), minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)

    def _widen(self, spans: "_Spans") -> None:
        """Have room for numbers that reach as far as these spans."""
        former, begins, widths, zeros = self._counts, self._begins, self._widths, self._spans.zeros
        shift = self._spans.first - spans.first + spans.zeros
        self._lay_out(spans)
        for number in np.flatnonzero(widths).tolist():
            some = former[begins[number] :][: widths[number]]
            room = self._counts[self._begins[number] :][: self._widths[number]]
            if zeros[number]:
                room[0], some = some[0], some[1:]
            room[shift[number] :][: len(some)] = some

    def counts(self, start: int) -> Counts:
        """Return all counts, the first number being at this position."""
        rows = np.flatnonzero(self._counts.sum(axis=1))
        number = np.searchsorted(self._begins, rows, side="right") - 1
        block, zeros = rows - self._begins[number], self._spans.zeros[number]
        block = np.where(block < zeros, 0, block + self._spans.first[number] - zeros)
        return Counts((start + number) * BLOCKS + block, self._counts[rows])


class _Spans(NamedTuple):
    """From which block of bins to which some numbers reach; zeros are far from all others.

    Attributes:
        first, last: int64 (numbers,), blocks; the first is after the last where all are zeros.
        zeros: int64 (numbers,), 1 where any is in the block around zero, else 0; that is put first.
    """

    first: np.ndarray
    last: np.ndarray
    zeros: np.ndarray

    def joined(self, other: "_Spans") -> "_Spans":
        """Return spans that reach as far as both."""
        # Smaller ones come later, as a rule, where a number passes through zero.
        lower = np.where(other.first < self.first, np.maximum(other.first - _MARGIN, 1), self.first)
        first, last = np.minimum(self.first, lower), np.maximum(self.last, other.last)
        return _Spans(first, last, np.maximum(self.zeros, other.zeros))

    def cover(self, other: "_Spans") -> bool:
        """Return whether these reach as far as others."""
        wide = (self.first <= other.first) & (self.last >= other.last)
        return bool((wide & (self.zeros >= other.zeros)).all())


def _spans_of(bins: np.ndarray) -> _Spans:
    low, high = bins.min(axis=1), bins.max(axis=1)
    zeros = low < BLOCK
    if zeros.any():
        at = np.flatnonzero(zeros)
        low[at] = np.where(bins[at] < BLOCK, np.uint32(_NOWHERE), bins[at]).min(axis=1)
    first, last = low.astype(np.int64) >> BLOCK_BITS, high.astype(np.int64) >> BLOCK_BITS
    return _Spans(first, np.where(last > 0, last, -1), zeros.astype(np.int64))
