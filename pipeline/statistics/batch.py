"""Some rows of a shard with their numbers, as statistics take them in."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .numbers import DERIVED, INPUT, RowNumbers
from .places import Places


class Batch(NamedTuple):
    """Some rows.

    Attributes:
        blocks: the inputs and quantities (numbers, rows), by name, in the order of the numbers.
        low, high: (numbers,), the ends of each number.
        places: where the rows come from.
    """

    blocks: Mapping[str, np.ndarray]
    low: np.ndarray
    high: np.ndarray
    places: Places

    @staticmethod
    def of(
        numbers: RowNumbers,
        points: np.ndarray,
        computed: Mapping[str, np.ndarray],
        ends: Mapping[str, np.ndarray],
        places: Places,
        derived: Sequence[np.ndarray] = (),
    ) -> "Batch":
        """Return rows as a batch.

        Args:
            numbers: of a row.
            points: (rows, n), as they went into the network; at least one row.
            computed: the quantities (rows, m, ...) that were derived, by name.
            ends: the lows and highs (2, m, ...) of these, likewise.
            places: where the rows come from.
            derived: arrays (rows, ...) whose entries are the derived columns, in their order.
        """
        count = places.row.size
        # The rows of each number side by side: no copy where they are so already.
        blocks = {
            name: np.ascontiguousarray(array.reshape(count, -1).T)
            for name, array in {INPUT: points, **computed}.items()
            if name in numbers.slices
        }
        if numbers.derived:
            columns = [array.reshape(count, -1).T for array in derived]
            blocks[DERIVED] = np.concatenate(columns)
        blocks = {name: blocks[name] for name in numbers.slices}
        known = {name: each.reshape(2, -1) for name, each in ends.items()}
        return _with_ends(blocks, known, places)

    @staticmethod
    def joined(parts: "Sequence[tuple[Batch, slice]]") -> "Batch":
        """Return some of the rows of several batches, at least one row, as one batch."""
        blocks = {
            name: np.concatenate([batch.blocks[name][:, rows] for batch, rows in parts], axis=1)
            for name in parts[0][0].blocks
        }
        places = Places.joined([batch.places.take(rows) for batch, rows in parts])
        return _with_ends(blocks, {}, places)

    def take(self, rows: np.ndarray) -> "Batch":
        """Return all rows in another order."""
        blocks = {name: block.take(rows, axis=1) for name, block in self.blocks.items()}
        return self._replace(blocks=blocks, places=self.places.take(rows))

    def largest(self, numbers: RowNumbers) -> dict[str, np.ndarray]:
        """Return of each quantity the largest sizes (m, k) that it has in these rows."""
        sizes = np.maximum(np.abs(self.low), np.abs(self.high))
        outputs = len(numbers.outputs)
        quantities = [q for q in numbers.slices if q not in (INPUT, DERIVED)]
        return {name: sizes[numbers.slices[name]].reshape(outputs, -1) for name in quantities}


def _with_ends(
    blocks: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], places: Places
) -> Batch:
    """Return a batch, the ends (2, numbers) of some blocks being known."""
    ends = [
        known[name] if name in known else np.stack([block.min(axis=1), block.max(axis=1)])
        for name, block in blocks.items()
    ]
    low, high = np.concatenate(ends, axis=1)
    return Batch(blocks, low, high, places)
