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

# Rows, and numbers of these, that are sorted by group together: calls for a few rows take long.
_ROWS, _NUMBERS = 1 << 15, 1 << 23


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
        self._most = most_complete_groups(shape.numbers.count)
        self._others = ShardRows(shape)
        self._groups: dict[Name, ShardRows] = {}
        self._moments: GroupMomentsOfShard | None = None  # once there are too many groups
        # What waits to be sorted by group: rows, and to which of `_groups` each belongs.
        self._waiting: list[tuple[Batch, np.ndarray]] = []

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
        if self._moments is None and len(self._groups.keys() | {*names}) > self._most:
            self._sort()
            self._moments = GroupMomentsOfShard(self.numbers)
        if self._moments is None:
            for name in names:
                self._groups.setdefault(name, ShardRows(self._shape))
            positions = {name: at for at, name in enumerate(self._groups)}
            self._waiting.append((batch, np.array([positions[name] for name in names])[codes]))
            rows = sum(codes.size for _, codes in self._waiting)
            if rows >= min(_ROWS, _NUMBERS // self.numbers.count):
                self._sort()
            return
        self._others.add(batch)
        self._moments.add(batch.blocks, names, codes)

    def _sort(self) -> None:
        """Give the rows that wait to their groups."""
        if not self._waiting:
            return
        batches, codes = zip(*self._waiting, strict=True)
        self._waiting = []
        batch, code = Batch.joined(batches), np.concatenate(codes)
        order = np.argsort(code, kind="stable")
        ends = np.searchsorted(code[order], np.arange(len(self._groups) + 1))
        for group, first, end in zip(self._groups.values(), ends[:-1], ends[1:], strict=True):
            if first < end:
                group.add(batch.take(order[first:end]))

    def to_bytes(self) -> bytes:
        """Return the statistics of all rows that were taken in, for `Statistics.add`."""
        self._sort()
        names: Sequence[Name] = sorted(self._groups, key=group_order)
        groups = {name: self._groups[name].packed() for name in names}
        moments = None if self._moments is None else self._moments.packed()
        return packed_statistics(self._others.packed(), groups, moments)
