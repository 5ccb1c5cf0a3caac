"""`relative`: the part of itself by which an output changes, for a unit of an input.

    J_i / y

Unit: 1 / that of the input. Source: the logarithmic derivative, d log y / dx. It has no value where
y is zero: such a row goes to quarantine.
"""

from dataclasses import dataclass

import numpy as np

from hyperdiag.data.blocks import Block

from .kind import Kind, by_inputs, stacked
from .rows import Names, Rows


@dataclass(frozen=True)
class Relative(Kind):
    """The logarithmic derivative of each output with respect to each input."""

    def blocks(self, names: Names) -> list[Block]:
        """Return a number for each output and input."""
        axes = self.output_axis(names), by_inputs(names.directions)
        return [Block("relative", "relative", "1 / unit of the input", axes)]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return the logarithmic derivatives, (rows, m, k)."""
        value = rows.value()
        return [stacked([rows.jacobian(name) / value for name in rows.names.directions])]
