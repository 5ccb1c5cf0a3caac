"""The quantities that a run can write of each row; one more is one more entry of `QUANTITIES`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np


@dataclass(frozen=True)
class Quantity:
    """How a quantity stands in the output.

    Attributes:
        title: what people call it.
        axes: of directions, after that of the outputs: with 1 its shape in a row is (m, k).
        column: returns the name of a column of the wide layout, given the output and the inputs
            that the number is differentiated with respect to.
        order: of the derivative; 0 is the value itself.
    """

    title: str
    axes: int
    column: Callable[..., str]
    order: int

    @property
    def derivative(self) -> bool:
        """Whether it is one."""
        return self.order > 0

    def shape(self, m: int, k: int) -> tuple[int, ...]:
        """Return its shape in each row, for m outputs and k directions."""
        return (m, *[k] * self.axes)

    def inputs(self, directions: Sequence[str]) -> list[tuple[str, ...]]:
        """Return for each of an output's numbers the inputs that it belongs to, in their order.

        Without an axis of directions, a derivative is a sum over all of them.
        """
        if not self.order:
            return [()]
        return [*product(directions, repeat=self.axes)] if self.axes else [tuple(directions)]

    def columns(self, outputs: Sequence[str], directions: Sequence[str]) -> list[str]:
        """Return the names of its columns in the wide layout, in the order of its entries."""
        return [self.column(o, *inputs) for o in outputs for inputs in self.inputs(directions)]


# Under their names in `derivatives.outputs`.
QUANTITIES = {
    "value": Quantity("value", 0, lambda o: o, 0),
    "jacobian": Quantity("Jacobian", 1, lambda o, i: f"d_{o}_d_{i}", 1),
    "hessian_diag": Quantity("Hessian diagonal", 1, lambda o, i: f"d2_{o}_d_{i}2", 2),
    "laplacian": Quantity("Laplacian", 0, lambda o, *_: f"laplacian_{o}", 2),
    "hessian": Quantity("Hessian", 2, lambda o, i, j: f"d2_{o}_d_{i}_d_{j}", 2),
}

# What a run writes when nothing else is asked for.
DEFAULT = ("value", "jacobian", "hessian_diag")


def row_bytes(quantities: Sequence[str], m: int, k: int, dtype: str) -> int:
    """Return the bytes that the quantities of a row take in memory, m outputs and k directions."""
    numbers = sum(prod(QUANTITIES[name].shape(m, k)) for name in quantities)
    return numbers * np.dtype(dtype).itemsize
