"""The statistics of a shard's rows, gathered batch by batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from .counting import Counting
from .curves import Curves
from .exact_sum import terms_of_shard
from .extreme_rows import extreme_rows, no_rows
from .groups import GroupsOfShard
from .histogram import Histograms
from .numbers import DERIVED, INPUT
from .origin import about_zero, origin_near
from .places import Places
from .statistics import Shape, packed

# Rows that are looked at together, of so many numbers that, in float64, they stay in a core's
# cache. Of more rows, a BLAS of several threads would add up in another order.
_ROWS, _AT_ONCE = 8192, 1 << 17
_FAR = 16  # times how far apart numbers lie: so far from zero are those that are close together

# Sums and squares of the largest numbers are infinite, as the page of runs says: no warning.
_beyond_float64 = np.errstate(over="ignore", invalid="ignore")


class ShardStatistics:
    """Gathers the statistics of a shard.

    Args:
        shape: what there are statistics of.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        numbers = shape.numbers
        low, high = np.array(shape.ranges, np.float64).reshape(-1, 2).T
        self._widths = high - low
        self._rows = 0
        self._differences, self._ones = np.empty(_AT_ONCE), np.ones(_ROWS)
        # Of numbers that are close together beside their size, squares would leave nothing: sums
        # are of their differences from about the first row.
        self._origin: np.ndarray | None = None
        self._sums, self._squares = np.zeros((2, numbers.count))
        self._low, self._high = np.full((2, numbers.count), [[np.inf], [-np.inf]])
        self._positive, self._negative = np.zeros((2, numbers.count), np.int64)
        self._curves = Curves(shape)
        self._extreme = no_rows(numbers, shape.extreme_rows)
        self._last: tuple[str, int] | None = None  # the place of the last row
        self._groups = GroupsOfShard(numbers) if shape.by else None
        self._counting = Counting(numbers.count) if shape.histograms else None

    @_beyond_float64
    def add(
        self,
        points: np.ndarray,
        computed: Mapping[str, np.ndarray],
        ends: Mapping[str, np.ndarray],
        places: Places,
        groups: pa.ChunkedArray | None = None,
        derived: Sequence[np.ndarray] = (),
    ) -> None:
        """Take in rows.

        Args:
            points: (rows, n), as they went into the network.
            computed: the quantities (rows, m, ...) that were derived, by name.
            ends: the lows and highs (2, m, ...) of these, likewise.
            places: where the rows come from.
            groups: the values of the column that tells the group, where one does.
            derived: arrays (rows, ...) whose entries are the derived columns, in their order.
        """
        count = places.row.size
        if not count:
            return
        numbers = self._shape.numbers
        # The rows of each number side by side: no copy where they are so already.
        blocks = {
            name: np.ascontiguousarray(array.reshape(count, -1).T)
            for name, array in [(INPUT, points), *computed.items()]
            if name in numbers.slices
        }
        if numbers.derived:
            columns = [array.reshape(count, -1).T for array in derived]
            blocks[DERIVED] = np.concatenate(columns)
        known = {name: each.reshape(2, -1) for name, each in ends.items()}
        others = numbers.slices.keys() - known.keys()
        known |= {name: np.stack([blocks[name].min(1), blocks[name].max(1)]) for name in others}
        low, high = np.concatenate([known[name] for name in numbers.slices], axis=1)
        if self._origin is None:
            firsts = np.concatenate([blocks[name][:, 0] for name in numbers.slices])
            far = np.abs(firsts) > _FAR * (high.astype(np.float64) - low)
            self._origin = origin_near(np.where(far, firsts, 0.0))
        self._rows += count
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        for name, where in numbers.slices.items():
            self._add_numbers(where.start, blocks[name])
        self._curves.add(blocks, places)
        if self._groups and groups is not None:
            self._groups.add(blocks, groups)
        if self._shape.extreme_rows:
            largest = {name: np.abs(each).max(axis=0) for name, each in ends.items()}
            first, last = ((places.files[places.file[at]], places.row[at]) for at in (0, -1))
            ties = self._last is not None and first <= self._last
            score = self._extreme.score
            more = extreme_rows(numbers, blocks, largest, self._widths, places, score, ties)
            self._extreme = self._extreme.merged(more)
            self._last = last

    def _add_numbers(self, start: int, block: np.ndarray) -> None:
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
                differences = self._differences[: part.size].reshape(part.shape)
                np.copyto(differences, part)
                if origin[at].any():
                    differences -= origin[at, None]
                self._sums[at] += np.vecdot(differences, self._ones[: part.shape[1]])
                self._squares[at] += np.vecdot(differences, differences)
                if self._counting is not None:
                    self._counting.add(start + first, part)

    @_beyond_float64
    def to_bytes(self) -> bytes:
        """Return the statistics of all rows that were taken in, for `Statistics.add`."""
        self._curves.finish()
        histograms, positive, negative = Histograms(0).counts(), self._positive, self._negative
        if self._counting is not None and self._rows:
            histograms = self._counting.counts()
            positive, negative = self._counting.signs(histograms)
        origin = np.zeros((2, self._sums.size)) if self._origin is None else self._origin
        sums, squares = about_zero(self._rows, origin, self._sums, self._squares)
        return packed(
            self._rows,
            histograms,
            self._curves.sample(),
            self._extreme,
            self._groups.packed() if self._groups else None,
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
