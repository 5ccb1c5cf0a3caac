"""The statistics of a shard's rows, gathered batch by batch."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from .exact_sum import two_terms
from .extreme_rows import extreme_rows
from .histogram import bins_of, count_bins
from .numbers import INPUT
from .statistics import Shape, Statistics

_AT_ONCE = 1 << 17  # numbers that are looked at together: of float64, they stay in a core's cache
_HELD_BYTES = 16 << 20  # of bins, before they are counted: counting few of them takes long

Terms = tuple[tuple[float, float], tuple[float, float]]


class ShardStatistics:
    """Gathers the statistics of a shard.

    Args:
        shape: what there are statistics of.
        rows: of the shard, at most.
    """

    def __init__(self, shape: Shape, rows: int):
        self._shape = shape
        self._low, self._high = np.array(shape.ranges, np.float64).reshape(-1, 2).T
        count = shape.numbers.count
        self._statistics = Statistics(shape)
        # Sums are of differences from the shard's first row: of numbers that are close together
        # beside their size, squares would leave nothing.
        self._origin: np.ndarray | None = None
        self._sums, self._squares = np.zeros(count), np.zeros(count)
        self._curves = np.zeros(shape.curves)
        directions = shape.numbers.directions
        self._at = [shape.numbers.inputs.index(name) for name in directions]
        held = max(_HELD_BYTES // (2 * count), 1)
        self._bins = np.empty((count, min(held, rows)), np.uint16) if shape.histograms else None
        self._held = 0

    def add(
        self, points: np.ndarray, computed: Mapping[str, np.ndarray], file: str, index: np.ndarray
    ) -> None:
        """Take in rows.

        Args:
            points: (rows, n), as they went into the network.
            computed: the quantities (rows, m, ...) that were derived, by name.
            file: that the rows come from.
            index: int64 (rows,), their place in it.
        """
        if not index.size:
            return
        numbers, statistics = self._shape.numbers, self._statistics
        # The rows of each number side by side: no copy where they are so already.
        blocks = {
            name: np.ascontiguousarray(array.reshape(index.size, -1).T)
            for name, array in [(INPUT, points), *computed.items()]
            if name in numbers.slices
        }
        if self._origin is None:
            firsts = [blocks[name][:, 0] for name in numbers.slices]
            self._origin = np.concatenate(firsts).astype(np.float64)
        statistics.rows += index.size
        bins = self._curve_bins(blocks[INPUT]) if self._shape.bins else []
        for name, where in numbers.slices.items():
            self._add_numbers(where.start, blocks[name])
            if bins and name in numbers.curves:
                self._add_curves(numbers.curves.index(name), blocks[name], bins)
        if self._bins is not None:
            self._add_bins(blocks)
        if self._shape.extreme_rows:
            extreme = statistics.extreme
            widths = self._high - self._low
            more = extreme_rows(numbers, blocks, widths, file, index, extreme.score)
            statistics.extreme = extreme.merged(more)

    def _add_numbers(self, start: int, block: np.ndarray) -> None:
        """Take in counts, ends and sums of the numbers (numbers, rows) from a position on."""
        statistics, step = self._statistics, max(_AT_ONCE // block.shape[1], 1)
        assert self._origin is not None
        for first in range(0, block.shape[0], step):
            part = block[first : first + step]
            at = slice(start + first, start + first + part.shape[0])
            low, high = statistics.low[at], statistics.high[at]
            np.minimum(low, part.min(axis=1), out=low)
            np.maximum(high, part.max(axis=1), out=high)
            statistics.positive[at] += [np.count_nonzero(row) for row in part > 0]
            statistics.negative[at] += [np.count_nonzero(row) for row in part < 0]
            differences = part - self._origin[at, None]
            self._sums[at] += differences.sum(axis=1)
            with np.errstate(over="ignore"):
                self._squares[at] += np.einsum("nr,nr->n", differences, differences)

    def _curve_bins(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Return for each direction the bin of each row: 0 below the range, bins + 1 above it."""
        count, places = self._shape.bins, []
        for direction, at in enumerate(self._at):
            low, high = self._low[direction], self._high[direction]
            place = np.floor((inputs[at] - low) * (count / (high - low)))
            place = np.clip(place, -1, count).astype(np.intp) + 1
            place[inputs[at] == high] = count
            self._statistics.bin_rows[direction] += np.bincount(place, minlength=count + 2)[1:-1]
            places.append(place)
        return places

    def _add_curves(self, quantity: int, block: np.ndarray, bins: Sequence[np.ndarray]) -> None:
        """Add up the entries (entries, rows) of a quantity over the rows in each bin."""
        m, k = self._curves.shape[1:3]
        entries = block.reshape(m, -1, block.shape[1])
        for output in range(m):
            for direction in range(k):
                entry = entries[output, min(direction, entries.shape[1] - 1)]  # a value has one
                sums = np.bincount(bins[direction], entry, self._shape.bins + 2)
                self._curves[quantity, output, direction] += sums[1:-1]

    def _add_bins(self, blocks: Mapping[str, np.ndarray]) -> None:
        assert self._bins is not None
        rows, room = blocks[INPUT].shape[1], self._bins.shape[1]
        first = 0
        while first < rows:
            if self._held == room:
                self._count_bins()
            some = min(rows - first, room - self._held)
            for name, where in self._shape.numbers.slices.items():
                part = blocks[name][:, first : first + some]
                self._bins[where, self._held : self._held + some] = bins_of(part)
            self._held += some
            first += some

    def _count_bins(self) -> None:
        assert self._bins is not None
        if self._held:
            self._statistics.histograms.add(*count_bins(self._bins[:, : self._held]))
            self._held = 0

    def to_bytes(self) -> bytes:
        """Return the statistics of all rows that were taken in, for `Statistics.add`."""
        statistics = self._statistics
        self._count_bins()
        if self._origin is not None:
            rows = statistics.rows
            pairs = zip(self._origin, self._sums, self._squares, strict=True)
            sums, squares = zip(*(_about_zero(rows, *each) for each in pairs), strict=True)
            statistics.sums.add(np.array(sums).T)
            statistics.squares.add(np.array(squares).T)
            statistics.curves.add(self._curves.reshape(1, -1))
        return statistics.to_bytes()


def _about_zero(rows: int, origin: float, total: float, squares: float) -> Terms:
    """Return sum and sum of squares of numbers, from those of their differences from an origin.

    Returns:
        The two terms of each.
    """
    if not (np.isfinite(total) and np.isfinite(squares)):
        return (total + rows * origin, 0.0), (np.inf, 0.0)
    by, exact = Fraction(origin), Fraction(total)
    return (
        two_terms(exact + rows * by),
        two_terms(Fraction(squares) + 2 * by * exact + rows * by * by),
    )
