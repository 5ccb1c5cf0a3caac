"""`standardised`: the change of an output for one standard deviation of an input.

    J_i s_i

Unit: that of the output, so that inputs of different units can be compared. Source: the
sigma-normalised derivative without the division by the output's own deviation (A. Saltelli and
others, Global Sensitivity Analysis: The Primer, section 1.2).
"""

from dataclasses import dataclass

import numpy as np

from hyperdiag.data.blocks import Block

from .kind import Amounts, Kind, by_inputs, columns_in, stacked
from .rows import Names, Rows


@dataclass(frozen=True)
class Standardised(Kind):
    """The change of each output for a standard deviation of each input.

    Attributes:
        deviations: {input: standard deviation, or its column}; other inputs are left out.
    """

    deviations: Amounts

    @property
    def deviation_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold standard deviations."""
        return columns_in(self.deviations)

    def inputs(self, names: Names) -> tuple[str, ...]:
        """Return the inputs with deviations, in the order of the directions."""
        return tuple(name for name in names.directions if name in self.deviations)

    def changes(self, rows: Rows) -> list[np.ndarray]:
        """Return J_i s_i of each of these inputs, (rows, m)."""
        return [
            rows.jacobian(name) * rows.amount(self.deviations[name])
            for name in self.inputs(rows.names)
        ]

    def blocks(self, names: Names) -> list[Block]:
        """Return a number for each output and input."""
        axes = self.output_axis(names), by_inputs(self.inputs(names))
        return [Block("standardised", "standardised", "of the output", axes)]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return the changes, (rows, m, inputs)."""
        return [stacked(self.changes(rows))]
