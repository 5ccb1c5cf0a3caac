"""What a kind of derived quantity has to say and to do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict

from hyperdiag.data.blocks import Axis, Block

from .rows import Names, Rows

# Of an input: a number, or the column of the dataset that holds one for each row.
Amount = float | str
Amounts = Mapping[str, Amount]


@dataclass(frozen=True)
class Kind(ABC):
    """One kind, as it is frozen in a plan; its fields are what `run/plan.json` says of it.

    Attributes:
        outputs: names of the outputs that it is computed for; None takes all.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    outputs: tuple[str, ...] | None

    @property
    def deviation_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold standard deviations."""
        return frozenset()

    @property
    def other_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold any other numbers."""
        return frozenset()

    @abstractmethod
    def blocks(self, names: Names) -> list[Block]:
        """Return what it writes, for a network of these names."""

    @abstractmethod
    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return an array (rows, *shape), float64, for each of its blocks; positions are whole."""

    def output_axis(self, names: Names) -> Axis:
        """Return the first axis of its blocks."""
        return Axis("outputs", "", names.outputs if self.outputs is None else self.outputs)


def columns_in(amounts: Amounts) -> frozenset[str]:
    """Return the columns of the dataset among amounts."""
    return frozenset(amount for amount in amounts.values() if isinstance(amount, str))


def by_inputs(names: tuple[str, ...]) -> Axis:
    """Return an axis of inputs."""
    return Axis("inputs", "by", names)


def stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays (rows, m) as one (rows, m, parts), with the rows side by side in memory."""
    return np.moveaxis(np.stack([part.T for part in parts], axis=1), -1, 0)
