"""Rows of a shard that are kept aside to be verified."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

# The quantities of some rows, (rows, ...) each, in the order of the plan.
Arrays = tuple[np.ndarray, ...]


class Sample:
    """Good rows picked evenly from a shard, to be verified.

    Args:
        rows: of the shard.
        wanted: how many to pick.
        columns: of the dataset, that hold the points.

    Attributes:
        tables: each row by itself, as it was read.
        computed: for each row its quantities.
    """

    def __init__(self, rows: int, wanted: int, columns: Sequence[str]):
        self._places = np.unique(np.linspace(0, rows, wanted, endpoint=False, dtype=np.int64))
        self._columns = list(dict.fromkeys(columns))
        self.tables: list[pa.Table] = []
        self.computed: list[Arrays] = []

    def take(self, rows: np.ndarray, table: pa.Table, computed: Arrays) -> None:
        """Pick from good rows: at each place wanted the first that comes.

        Args:
            rows: their positions in the shard, ascending.
            table, computed: theirs.
        """
        for place in self._places[len(self.tables) :]:
            at = int(np.searchsorted(rows, place))
            if at == rows.size:
                break
            self.tables.append(table.select(self._columns).take(pa.array([at])))
            self.computed.append(tuple(array[at].copy() for array in computed))
