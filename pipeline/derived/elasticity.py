"""`elasticity`: by how many percent an output changes where an input changes by one percent.

    (x_i / y) J_i

Unit: none. Source: the elasticity of economics, d log y / d log x. It has no value where y is zero:
such a row goes to quarantine.
"""

from dataclasses import dataclass

import numpy as np

from hyperdiag.data.blocks import Block

from .kind import Kind, by_inputs, stacked
from .rows import Names, Rows


@dataclass(frozen=True)
class Elasticity(Kind):
    """The elasticity of each output with respect to each input."""

    def blocks(self, names: Names) -> list[Block]:
        """Return a number for each output and input."""
        axes = self.output_axis(names), by_inputs(names.directions)
        return [Block("elasticity", "elasticity", "none", axes)]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return the elasticities, (rows, m, k)."""
        value = rows.value()
        return [
            stacked(
                [rows.input(name) * rows.jacobian(name) / value for name in rows.names.directions]
            )
        ]
