"""`top`: the inputs that move an output most, by name, and by how much they do.

For each output the inputs with the largest |J_i| s_i, s_i being an input's standard deviation, the
largest first; of equal ones the first in the order of the network's inputs:

    top_o__rank_1           the name of an input i
    top_effect_o__rank_1    J_i s_i, in the unit of the output

Source: the measure is that of `standardised`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hyperdiag.data.blocks import Axis, Block

from .kind import Amounts, Kind, columns_in, stacked
from .rows import Names, Rows


@dataclass(frozen=True)
class Top(Kind):
    """The strongest inputs of each output.

    Attributes:
        deviations: {input: standard deviation, or its column}; other inputs are left out.
        count: how many inputs are named; there are as many deviations at least.
    """

    deviations: Amounts
    count: int

    @property
    def deviation_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold standard deviations."""
        return columns_in(self.deviations)

    def blocks(self, names: Names) -> list[Block]:
        """Return names, then effects."""
        ranks = Axis("ranks", "rank", tuple(str(rank + 1) for rank in range(self.count)))
        axes = self.output_axis(names), ranks
        return [
            Block("top", "top", "name of an input", axes, labels=names.directions),
            Block("top_effect", "top", "of the output", axes),
        ]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return positions of directions, and effects, (rows, m, count) each."""
        ranked: list[tuple[np.ndarray, ...]] = []  # sizes, effects, positions; the largest first
        for position, name in enumerate(rows.names.directions):
            if name not in self.deviations:
                continue
            effect = rows.jacobian(name) * rows.amount(self.deviations[name])
            new: tuple[np.ndarray, ...] = (
                *(np.abs(effect), effect),
                np.full(effect.shape, position, np.int32),
            )
            # It goes before the first that is smaller, row by row, and these move down.
            for rank, kept in enumerate(ranked):
                larger = new[0] > kept[0]
                ranked[rank] = _chosen(larger, new, kept)
                new = _chosen(larger, kept, new)
            if len(ranked) < self.count:
                ranked.append(new)
        _, effects, positions = zip(*ranked, strict=True)
        return [stacked(positions), stacked(effects)]


def _chosen(
    where: np.ndarray, these: Sequence[np.ndarray], others: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    return tuple(np.where(where, a, b) for a, b in zip(these, others, strict=True))
