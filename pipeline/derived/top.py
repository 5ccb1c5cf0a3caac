"""`top`: the inputs that move an output most, by name, and by how much they do.

For each output the inputs with the largest |J_i| s_i, s_i being an input's standard deviation, the
largest first; of equal ones the first in the order of the network's inputs:

    top_o__rank_1           the name of an input i
    top_effect_o__rank_1    J_i s_i, in the unit of the output

Source: the measure is that of `standardised`.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from hyperdiag.data.blocks import Axis, Block

from .kind import stacked
from .rows import Names, Rows
from .standardised import Standardised


@dataclass(frozen=True)
class Top(Standardised):
    """The strongest inputs of each output, by what `standardised` has of them.

    Attributes:
        count: how many inputs are named; there are as many deviations at least.
    """

    count: int

    def blocks(self, names: Names) -> list[Block]:
        """Return names, then effects."""
        ranks = Axis("ranks", "rank", tuple(str(rank + 1) for rank in range(self.count)))
        axes = self.output_axis(names), ranks
        return [
            Block("top", "top", "name of an input", axes, labels=self.inputs(names)),
            Block("top_effect", "top", "of the output", axes),
        ]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return positions among the inputs with deviations, and effects, (rows, m, count) each.

        By passes of plain comparisons, in a fraction of the time of sorting each row.
        """
        parts = self.changes(rows)
        shape = parts[0].T.shape
        effects = np.stack([part.T.reshape(-1) for part in parts])  # (inputs, m * rows)
        sizes = np.abs(effects)
        last = len(parts)
        everywhere = np.arange(sizes.shape[1])
        ranked: list[tuple[np.ndarray, np.ndarray]] = []
        for _ in range(self.count):
            largest = reduce(np.maximum, sizes)
            # Of equal ones the first, whose number from the end is the highest.
            numbers = ((size == largest) * np.int16(last - at) for at, size in enumerate(sizes))
            position = last - np.maximum(reduce(np.maximum, numbers), np.int16(1))
            place = position * np.int64(sizes.shape[1]) + everywhere
            ranked.append((position.reshape(shape).T, effects.take(place).reshape(shape).T))
            sizes.reshape(-1)[place] = -1.0
        positions, of_rank = zip(*ranked, strict=True)
        return [stacked(positions), stacked(of_rank)]
