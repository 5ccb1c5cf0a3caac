"""How value, Jacobian and Hessian diagonal depend on each input: sums over bins, and a sample."""

from collections.abc import Mapping

import numpy as np

from .numbers import INPUT
from .places import Places
from .sampling import Sample, row_hashes, sampled
from .shape import Shape

# That are gathered before they are added up: calls for a few rows take long.
_ROWS, _ROWS_OF_A_GROUP = 8192, 1024


class Curves:
    """Adds up, over the rows in each bin of each direction's range, its own quantities.

    Args:
        shape: what there are curves of; none, where it has no bins.

    Attributes:
        bin_rows: int64 (k, bins), how many rows each bin has.
        sums: float64 (quantities, m, k, bins), over these rows.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        numbers = shape.numbers
        self._inputs = [numbers.inputs.index(name) for name in numbers.directions]
        self.bin_rows = np.zeros((len(numbers.directions), shape.bins), np.int64)
        self.sums = np.zeros(shape.curves)
        self._gathered: list[np.ndarray] = []
        self._rows = 0
        self._samples: list[Sample] = []

    def add(self, blocks: Mapping[str, np.ndarray], places: Places) -> None:
        """Take in rows.

        Args:
            blocks: the inputs and quantities (numbers, rows), by name.
            places: where the rows come from.
        """
        if not self._shape.bins:
            return
        hashes = row_hashes(places)
        rows = sampled(hashes, self._shape.curve_step)
        quantities = (blocks[name].take(rows, axis=1) for name in self._shape.numbers.curves)
        some = np.concatenate([blocks[INPUT].take(rows, axis=1)[self._inputs], *quantities])
        if self._shape.sample_step:
            of_these = sampled(hashes[rows], self._shape.sample_step)
            self._samples.append(Sample(hashes[rows[of_these]], some[:, of_these].T))
            if sum(each.hashes.size for each in self._samples) > 2 * self._shape.most_sampled:
                self.sample()  # leaves some of them out
        self._gathered.append(some)
        self._rows += rows.size
        if self._rows >= (_ROWS if self._shape.by is None else _ROWS_OF_A_GROUP):
            self.finish()

    def finish(self) -> None:
        """Add up the rows that are gathered."""
        if not self._rows:
            return
        numbers = np.concatenate(self._gathered, axis=1)
        self._gathered, self._rows = [], 0
        bins, positions = self._shape.bins, self._shape.numbers.curve_positions
        inputs = numbers[: len(self._inputs)].astype(np.float64)
        for direction, place in enumerate(self._shape.bins_of(inputs)):
            self.bin_rows[direction] += np.bincount(place, minlength=bins + 1)[:-1]
            for quantity, of_outputs in enumerate(positions[:, :, direction]):
                for output, position in enumerate(of_outputs):
                    sums = np.bincount(place, numbers[position], bins + 1)
                    self.sums[quantity, output, direction] += sums[:-1]

    def sample(self) -> Sample:
        """Return the sample of all rows."""
        parts = [self._shape.no_sample(), *self._samples]
        self._samples = [Sample.joined(parts, self._shape.most_sampled)]
        return self._samples[0]
