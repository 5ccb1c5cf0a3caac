"""Which numbers of a row there are statistics of, and in which order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from hyperdiag.data.quantities import QUANTITIES

# Stand for a quantity, where a number is one of the row's own inputs, or is in a derived column.
INPUT, DERIVED = "input", "derived"


@dataclass(frozen=True)
class RowNumbers:
    """The numbers of a row: its inputs, and the quantities that were derived from them.

    Attributes:
        inputs: names of the n inputs.
        outputs: names of the m outputs.
        directions: names of the k inputs that were differentiated with respect to.
        quantities: what was computed, names of `QUANTITIES`; of those with more than one axis of
            directions, the full Hessian, there are no statistics.
        derived: columns of numbers that are derived from the quantities.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    directions: Sequence[str]
    quantities: Sequence[str]
    derived: Sequence[str] = ()

    @cached_property
    def slices(self) -> dict[str, slice]:
        """The positions of inputs, of each quantity's entries (m,) or (m, k), and of others."""
        slices = {INPUT: slice(0, len(self.inputs))}
        end = len(self.inputs)
        for name in self.quantities:
            if QUANTITIES[name].axes < 2:
                width = prod(QUANTITIES[name].shape(len(self.outputs), len(self.directions)))
                slices[name] = slice(end, end + width)
                end += width
        if self.derived:
            slices[DERIVED] = slice(end, end + len(self.derived))
        return slices

    @cached_property
    def count(self) -> int:
        """How many numbers a row has."""
        return max(each.stop for each in self.slices.values())

    def names(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield quantity, output (or derived column) and input of each number, None without one."""
        for name in self.inputs:
            yield INPUT, None, name
        for quantity in self.slices:
            if quantity == DERIVED:
                yield from ((quantity, column, None) for column in self.derived)
            elif quantity != INPUT:
                by = self.directions if QUANTITIES[quantity].axes else (None,)
                yield from ((quantity, output, name) for output in self.outputs for name in by)

    @cached_property
    def curve_positions(self) -> np.ndarray:
        """Where each curve's number is among those that curves take of a row.

        int64 (quantities, m, k); directions' inputs are before all quantities, and a value is the
        same for all directions.
        """
        m, k = len(self.outputs), len(self.directions)
        positions, end = np.zeros((len(self.curves), m, k), np.int64), k
        for at, name in enumerate(self.curves):
            shape = (m, k) if QUANTITIES[name].axes else (m, 1)
            positions[at] = end + np.arange(prod(shape)).reshape(shape)
            end += prod(shape)
        return positions

    @property
    def sampled(self) -> int:
        """How many numbers of a row a sample has: those that curves are of, and their inputs."""
        positions = self.curve_positions
        return int(positions.max()) + 1 if positions.size else len(self.directions)

    @cached_property
    def curves(self) -> tuple[str, ...]:
        """The quantities that there are curves of, against each input."""
        return tuple(q for q in self.slices if q in ("value", "jacobian", "hessian_diag"))
