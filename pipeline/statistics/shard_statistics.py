"""Statistics of a shard's rows, and of each group of them, gathered batch by batch."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from .batch import Batch
from .group_moments import GroupMomentsOfShard
from .group_names import Name, group_order, groups_of, most_complete_groups
from .shape import Shape
from .shard_rows import ShardRows
from .statistics import packed_statistics

# Rows, and numbers of these, that wait for others of their groups: calls for a few take long.
_ROWS, _NUMBERS = 1 << 16, 1 << 23


class ShardStatistics:
    """Gathers the statistics of a shard.

    Args:
        shape: what there are statistics of.

    Attributes:
        numbers: of a row.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        self.numbers = shape.numbers
        self._most = most_complete_groups(shape)
        self._others = ShardRows(shape)
        self._groups: dict[Name, ShardRows] = {}
        self._moments: GroupMomentsOfShard | None = None  # once there are too many groups
        self._waiting: dict[Name, list[tuple[Batch, slice]]] = {}
        self._rows_waiting = 0

    def add(self, batch: Batch, groups: pa.ChunkedArray | None = None) -> None:
        """Take in rows.

        Args:
            batch: the rows.
            groups: the values of the column that tells the group, where one does.
        """
        if groups is None:
            self._others.add(batch)
            return
        names, codes = groups_of(groups)
        known = self._groups.keys() | self._waiting.keys()
        if self._moments is None and len(known | {*names}) > self._most:
            self._hand_over()
            self._moments = GroupMomentsOfShard(self.numbers)
        if self._moments is None:
            order = np.argsort(codes, kind="stable")
            batch, ends = batch.take(order), np.cumsum(np.bincount(codes))
            for name, first, end in zip(names, [0, *ends], ends, strict=False):
                self._waiting.setdefault(name, []).append((batch, slice(first, end)))
            self._rows_waiting += codes.size
            if self._rows_waiting >= min(_ROWS, _NUMBERS // self.numbers.count):
                self._hand_over()
            return
        self._others.add(batch)
        self._moments.add(batch.blocks, names, codes)

    def _hand_over(self) -> None:
        """Give the rows that wait to their groups."""
        for name, parts in self._waiting.items():
            if name not in self._groups:
                self._groups[name] = ShardRows(self._shape)
            self._groups[name].add(Batch.joined(parts))
        self._waiting, self._rows_waiting = {}, 0

    def to_bytes(self) -> bytes:
        """Return the statistics of all rows that were taken in, for `Statistics.add`."""
        self._hand_over()
        names: Sequence[Name] = sorted(self._groups, key=group_order)
        groups = {name: self._groups[name].packed() for name in names}
        moments = None if self._moments is None else self._moments.packed()
        return packed_statistics(self._others.packed(), groups, moments)
