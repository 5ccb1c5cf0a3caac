"""Means of value, Jacobian and Hessian diagonal over bins of each input: the sums of a shard."""

from collections.abc import Mapping

import numpy as np

from .numbers import INPUT
from .statistics import Shape

_ROWS = 8192  # that are gathered before they are added up: calls for a few rows take long


class Curves:
    """Adds up, over the rows in each bin of each direction's range, its own quantities.

    Args:
        shape: what there are curves of; none, where it has no bins.

    Attributes:
        bin_rows: int64 (k, bins), how many rows each bin has.
        sums: float64 (quantities, m, k, bins), over these rows.
    """

    def __init__(self, shape: Shape):
        numbers = shape.numbers
        self._shape = shape
        self._ranges = np.array(shape.ranges, np.float64).reshape(-1, 2)
        self._at = [numbers.inputs.index(name) for name in numbers.directions]
        self.bin_rows = np.zeros((len(numbers.directions), shape.bins), np.int64)
        self.sums = np.zeros(shape.curves)
        self._gathered: list[dict[str, np.ndarray]] = []
        self._rows = 0

    def add(self, blocks: Mapping[str, np.ndarray], index: np.ndarray) -> None:
        """Take in rows.

        Args:
            blocks: the inputs and quantities (numbers, rows), by name.
            index: int64 (rows,), the place of each row in its file.
        """
        if not self._shape.bins:
            return
        rows = _multiples(index, self._shape.curve_step)
        names = (INPUT, *self._shape.numbers.curves)
        some = {name: np.ascontiguousarray(blocks[name][:, rows]) for name in names}
        self._gathered.append(some)
        self._rows += some[INPUT].shape[1]
        if self._rows >= _ROWS:
            self.finish()

    def finish(self) -> None:
        """Add up the rows that are gathered."""
        if not self._rows:
            return
        bins = self._shape.bins
        m = self.sums.shape[1]
        names = (INPUT, *self._shape.numbers.curves)
        joined = {
            name: np.concatenate([each[name] for each in self._gathered], axis=1) for name in names
        }
        quantities = [joined[name].reshape(m, -1, self._rows) for name in names[1:]]
        for direction, at in enumerate(self._at):
            low, high = self._ranges[direction]
            inputs = joined[INPUT][at].astype(np.float64)
            # The first is below the range, the last above it.
            # Not times bins / (high - low), which is infinite of the smallest numbers.
            place = np.clip(np.floor((inputs - low) / (high - low) * bins), -1, bins)
            place = place.astype(np.int16) + 1
            place[inputs == high] = bins
            counts = np.bincount(place, minlength=bins + 2)
            self.bin_rows[direction] += counts[1:-1]
            some = np.flatnonzero(counts)
            order, starts = np.argsort(place, kind="stable"), (np.cumsum(counts) - counts)[some]
            within = (some > 0) & (some <= bins)
            for quantity, entries in enumerate(quantities):
                # A value is the same for all directions.
                ordered = entries[:, min(direction, entries.shape[1] - 1)][:, order]
                sums = np.add.reduceat(ordered, starts, axis=1, dtype=np.float64)
                self.sums[quantity, :, direction, some[within] - 1] += sums[:, within].T
        self._gathered, self._rows = [], 0


def _multiples(index: np.ndarray, step: int) -> slice | np.ndarray:
    """Return which of some rows have an index that is a multiple of a number."""
    if index[-1] - index[0] == index.size - 1:  # one after the other: no copy
        return slice(-int(index[0]) % step, None, step)
    return np.flatnonzero(index % step == 0)
