"""The quantities that a run can write of each row; one more is one more entry of `QUANTITIES`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

import numpy as np

# Between the parts of a column's name; and in outputs of release 0.1.0.
SEPARATOR: Final = "__"
FORMER_SEPARATOR: Final = "_"
# An underscore at either end of a name, beside another one, or before what looks like an escape.
_AMBIGUOUS = re.compile(r"^_|_$|(?<=_)_|_(?=_|x[0-9A-Fa-f]{4}(?:_|$))")


def labelled(sign: str, name: str) -> str:
    """Return a part of a column's name: a sign and an escaped name, see `Quantity.column`."""
    return f"{sign}_{_AMBIGUOUS.sub('_x005F_', name)}"


@dataclass(frozen=True)
class Quantity:
    """How a quantity stands in the output.

    Attributes:
        title: what people call it.
        axes: of directions, after that of the outputs: with 1 its shape in a row is (m, k).
        signs: what stands before the output, and before each input, in the name of a column of the
            wide layout.
        order: of the derivative; 0 is the value itself.
    """

    title: str
    axes: int
    signs: tuple[str, ...]
    order: int

    @property
    def derivative(self) -> bool:
        """Whether it is one."""
        return self.order > 0

    def column(self, separator: str, output: str, *inputs: str) -> str:
        """Return the name of a column of the wide layout.

        With the separator `__` no two numbers have one name, whatever outputs and inputs are
        called, and the name can be taken apart again: an underscore in them that could be taken for
        a part of a separator, or for an escape, is written `_x005F_`, as in XML
        (ECMA-376, part 1, 22.9.2.19). A value has its output's own name.

        Args:
            separator: `__`; or `_` in an output of release 0.1.0: `d_price_d_spot`,
                `d2_price_d_spot2`.
            output: of which the number is a derivative.
            inputs: with respect to which.
        """
        if not self.derivative:
            return output
        names = (output, *inputs)[: len(self.signs)]
        if separator == FORMER_SEPARATOR:
            parts = [f"{sign}_{name}" for sign, name in zip(self.signs, names, strict=True)]
            if self.signs == ("d2", "d2"):
                parts[1] = f"d_{inputs[0]}2"
            return "_".join(parts)
        return separator.join(map(labelled, self.signs, names))

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

    def columns(
        self, separator: str, outputs: Sequence[str], directions: Sequence[str]
    ) -> list[str]:
        """Return the names of its columns in the wide layout, in the order of its entries."""
        inputs = self.inputs(directions)
        return [self.column(separator, output, *names) for output in outputs for names in inputs]


# Under their names in `derivatives.outputs`.
QUANTITIES = {
    "value": Quantity("value", 0, (), 0),
    "jacobian": Quantity("Jacobian", 1, ("d", "d"), 1),
    "hessian_diag": Quantity("Hessian diagonal", 1, ("d2", "d2"), 2),
    "laplacian": Quantity("Laplacian", 0, ("laplacian",), 2),
    "hessian": Quantity("Hessian", 2, ("d2", "d", "d"), 2),
}

# What a run writes when nothing else is asked for.
DEFAULT = ("value", "jacobian", "hessian_diag")


def row_bytes(quantities: Sequence[str], m: int, k: int, dtype: str) -> int:
    """Return the bytes that the quantities of a row take in memory, m outputs and k directions."""
    numbers = sum(prod(QUANTITIES[name].shape(m, k)) for name in quantities)
    return numbers * np.dtype(dtype).itemsize
