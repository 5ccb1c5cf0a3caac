"""Statistics of all rows, and of those of each group."""

from collections.abc import Mapping, Sequence

import numpy as np

from .group_moments import GroupMoments, PackedMoments
from .group_names import Name, group_order, most_complete_groups
from .packed import pack, unpack
from .row_statistics import Packed, RowStatistics
from .shape import Shape

_MOMENTS = "moments"  # of groups, among what is packed


class Statistics:
    """Statistics of rows, and of each group of them, which add up in any order to the same.

    Of a few groups there is all that there is of all rows, which are their sum. Of more there are
    counts, sums and ends alone, beside the statistics of all rows. Which it is shows as soon as
    there are too many in any rows, and stays so.

    Args:
        shape: what there are statistics of.

    Attributes:
        complete: the statistics of each of a few groups.
        moments: those of each of many groups; None where there are none, or a few.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        self.complete: dict[Name, RowStatistics] = {}
        self.moments: GroupMoments | None = None
        self._most = most_complete_groups(shape)
        # Of rows whose group has no statistics of its own.
        self._others = RowStatistics(shape)
        self._all_rows: RowStatistics | None = None  # once asked for

    @property
    def names(self) -> list[Name]:
        """The names of the groups in `complete`, sorted; first that of rows without a value."""
        return sorted(self.complete, key=group_order)

    def add(self, content: bytes) -> None:
        """Take in the statistics of other rows, as `packed_statistics` returns them.

        Raises:
            ValueError: if that is not what they are.
        """
        self._all_rows = None
        values, arrays = unpack(content)
        parts: list[dict[str, np.ndarray]] = [{} for _ in values["parts"]]
        of_moments: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            part, _, inner = name.partition(".")
            (of_moments if part == _MOMENTS else parts[int(part)])[inner] = array
        others, *groups = zip(values["parts"], parts, strict=True)
        self._others.add(others)
        if _MOMENTS in values:
            self._keep_moments().add(values[_MOMENTS], of_moments)
        for name, packed in zip(values["groups"], groups, strict=True):
            self._add_group(name, packed)

    def _add_group(self, name: Name, packed: Packed) -> None:
        if self.moments is None and name not in self.complete and len(self.complete) == self._most:
            self._keep_moments()
        if self.moments is None:
            if name not in self.complete:
                self.complete[name] = RowStatistics(self.shape)
            self.complete[name].add(packed)
            return
        self._others.add(packed)
        self.moments.add_group(name, packed[0]["rows"], packed[1])

    def _keep_moments(self) -> GroupMoments:
        """Keep of groups counts, sums and ends alone from now on."""
        if self.moments is None:
            self.moments = GroupMoments(self.shape.numbers.count)
            groups, self.complete = self.complete, {}
            for name, rows in groups.items():
                self._add_group(name, rows.packed())
        return self.moments

    def all_rows(self) -> RowStatistics:
        """Return the statistics of all rows so far."""
        if not self.complete:
            return self._others
        if self._all_rows is None:
            self._all_rows = RowStatistics(self.shape)
            for rows in (self._others, *self.complete.values()):
                self._all_rows.add(rows.packed())
        return self._all_rows

    def to_bytes(self) -> bytes:
        """Return the same as bytes; the same statistics are the same bytes."""
        moments = None if self.moments is None else self.moments.packed()
        groups = {name: self.complete[name].packed() for name in self.names}
        return packed_statistics(self._others.packed(), groups, moments)


def packed_statistics(
    others: Packed, groups: Mapping[Name, Packed], moments: PackedMoments | None
) -> bytes:
    """Return statistics as bytes, for `Statistics.add`.

    Args:
        others: of rows whose group is not among these.
        groups: of each group that has all statistics.
        moments: of groups that have no others; None where there are none.
    """
    parts: Sequence[Packed] = [others, *groups.values()]
    arrays = {f"{at}.{name}": a for at, (_, part) in enumerate(parts) for name, a in part.items()}
    values = {"parts": [part for part, _ in parts], "groups": list(groups)}
    if moments is not None:
        values[_MOMENTS] = moments[0]
        arrays |= {f"{_MOMENTS}.{name}": array for name, array in moments[1].items()}
    return pack(values, arrays)
