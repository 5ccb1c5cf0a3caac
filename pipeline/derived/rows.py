"""What derived quantities are computed from: rows with their derivatives, in float64."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Names(NamedTuple):
    """What the network's inputs and outputs are called.

    Attributes:
        inputs: of the n inputs.
        directions: of the k inputs that were differentiated with respect to.
        outputs: of the m outputs.
    """

    inputs: tuple[str, ...]
    directions: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Some rows, for some of the outputs.

    Everything comes in float64, a direction at a time, (rows, m) each: what is added up over
    directions is added in their order, and a row's bits depend on no other row.

    Attributes:
        names: of inputs, directions and outputs.
        points: (rows, n), in the run's dtype, at which the network was derived.
        quantities: (rows, m, ...) each, in the run's dtype, by name.
        columns: float64 (rows, 1) each: those of the dataset that are asked for, by name.
        outputs: positions of those of the m outputs that are taken; None takes all.
    """

    names: Names
    points: np.ndarray
    quantities: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: tuple[int, ...] | None = None

    def value(self) -> np.ndarray:
        """Return the value."""
        return self._of("value", ())

    def jacobian(self, direction: str) -> np.ndarray:
        """Return the derivative with respect to an input."""
        return self._of("jacobian", (direction,))

    def hessian_diag(self, direction: str) -> np.ndarray:
        """Return the second derivative with respect to an input."""
        return self._of("hessian_diag", (direction,))

    def hessian(self, first: str, second: str) -> np.ndarray:
        """Return the second derivative with respect to two inputs."""
        return self._of("hessian", (first, second))

    def input(self, name: str) -> np.ndarray:
        """Return an input, (rows, 1)."""
        return self.points[:, [self.names.inputs.index(name)]].astype(np.float64)

    def amount(self, amount: "float | str") -> "float | np.ndarray":
        """Return a constant as it is; of a column of the dataset its values, (rows, 1)."""
        return self.columns[amount] if isinstance(amount, str) else amount

    def zeros(self) -> np.ndarray:
        """Return a zero for each row and output, (rows, m)."""
        return np.zeros_like(self.jacobian(self.names.directions[0]))

    def _of(self, quantity: str, directions: tuple[str, ...]) -> np.ndarray:
        array = self.quantities[quantity]
        for name in directions:
            array = array[:, :, self.names.directions.index(name)]
        if self.outputs is not None:
            array = array[:, self.outputs]
        return array.astype(np.float64)


def added(terms: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum of at least one term, in their order; the first is overwritten.

    NumPy's own sums take another order for another layout in memory.
    """
    rest = iter(terms)
    total = next(rest)
    for term in rest:
        total += term
    return total
