"""Statistics of rows of a shard, gathered batch by batch."""

import numpy as np

from .batch import Batch
from .counting import Counting
from .curves import Curves
from .exact_sum import beyond_float64, terms_of_shard
from .extreme_rows import extreme_rows, no_rows
from .histogram import Histograms
from .origin import about_zero, origin_near
from .row_statistics import Packed, packed_rows
from .shape import Shape

# Rows that are looked at together, of so many numbers that, in float64, they stay in a core's
# cache. Of more rows, a BLAS of several threads would add up in another order.
_ROWS, _AT_ONCE = 8192, 1 << 17
_ONES = np.ones(_ROWS)
_FAR = 16  # times how far apart numbers lie: so far from zero are those that are close together


class ShardRows:
    """Gathers statistics of rows of a shard.

    Args:
        shape: what there are statistics of.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        numbers = shape.numbers
        low, high = np.array(shape.ranges, np.float64).reshape(-1, 2).T
        self._widths = high - low
        self._rows = 0
        # Of numbers that are close together beside their size, squares would leave nothing: sums
        # are of their differences from about the first row.
        self._origin: np.ndarray | None = None
        self._sums, self._squares = np.zeros((2, numbers.count))
        self._low, self._high = np.full((2, numbers.count), [[np.inf], [-np.inf]])
        self._positive, self._negative = np.zeros((2, numbers.count), np.int64)
        self._curves = Curves(shape)
        self._extreme = no_rows(numbers, shape.extreme_rows)
        self._last: tuple[str, int] | None = None  # place of all
        self._counting = Counting(numbers.count) if shape.histograms else None

    @beyond_float64
    def add(self, batch: Batch) -> None:
        """Take in rows."""
        if not batch.places.ascend:
            batch = batch.take(batch.places.order())  # of equal rows the first is kept
        numbers, places = self._shape.numbers, batch.places
        if self._origin is None:
            firsts = np.concatenate([batch.blocks[name][:, 0] for name in numbers.slices])
            far = np.abs(firsts) > _FAR * (batch.high.astype(np.float64) - batch.low)
            self._origin = origin_near(np.where(far, firsts, 0.0))
        self._rows += places.row.size
        self._low = np.minimum(self._low, batch.low)
        self._high = np.maximum(self._high, batch.high)
        scratch = np.empty(_AT_ONCE)
        for name, where in numbers.slices.items():
            self._add_numbers(where.start, batch.blocks[name], scratch)
        self._curves.add(batch.blocks, places)
        if self._shape.extreme_rows:
            first, last = ((places.files[places.file[at]], places.row[at]) for at in (0, -1))
            ties = self._last is not None and first <= self._last
            more = extreme_rows(
                numbers,
                batch.blocks,
                batch.largest(numbers),
                self._widths,
                places,
                self._extreme.score,
                ties,
            )
            self._extreme = self._extreme.merged(more)
            self._last = max(self._last or last, last)

    def _add_numbers(self, start: int, block: np.ndarray, scratch: np.ndarray) -> None:
        """Take in the numbers (numbers, rows) from a position on."""
        count, rows = block.shape
        if self._counting is None:
            where = slice(start, start + count)
            self._positive[where] += np.count_nonzero(block > 0, axis=1)
            self._negative[where] += np.count_nonzero(block < 0, axis=1)
        assert self._origin is not None
        origin = self._origin.sum(axis=0)
        # Counts are of the same numbers each time, however few rows there are.
        step = _AT_ONCE // (min(rows, _ROWS) if self._counting is None else _ROWS)
        for first_row in range(0, rows, _ROWS):
            for first in range(0, count, step):
                part = block[first : first + step, first_row : first_row + _ROWS]
                at = slice(start + first, start + first + len(part))
                differences = scratch[: part.size].reshape(part.shape)
                np.copyto(differences, part)
                if origin[at].any():
                    differences -= origin[at, None]
                self._sums[at] += np.vecdot(differences, _ONES[: part.shape[1]])
                self._squares[at] += np.vecdot(differences, differences)
                if self._counting is not None:
                    self._counting.add(start + first, part)

    @beyond_float64
    def packed(self) -> Packed:
        """Return the statistics of all rows that were taken in, for `RowStatistics.add`."""
        self._curves.finish()
        histograms, positive, negative = Histograms(0).counts(), self._positive, self._negative
        if self._counting is not None and self._rows:
            histograms = self._counting.counts()
            positive, negative = self._counting.signs(histograms)
        origin = np.zeros((2, self._sums.size)) if self._origin is None else self._origin
        sums, squares = about_zero(self._rows, origin, self._sums, self._squares)
        return packed_rows(
            self._rows,
            histograms,
            self._curves.sample(),
            self._extreme,
            sums=sums,
            squares=squares,
            # Of zeros with both signs, which is the least depends on their order: plus zero.
            low=self._low + 0.0,
            high=self._high + 0.0,
            positive=positive,
            negative=negative,
            bin_rows=self._curves.bin_rows,
            curves=terms_of_shard(self._curves.sums.reshape(1, -1)),
        )
