"""Statistics of the rows of each group: those with one value in a column of the dataset."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from hyperdiag.messages.errors import HyperdiagError

from .moments import Moments
from .numbers import RowNumbers
from .origin import about_zero

MOST_GROUPS = 10_000
# Groups times numbers of a row: a shard keeps 40 bytes of each, and the driver some 200.
MOST_NUMBERS = 1 << 19


class GroupsOfShard:
    """Gathers the statistics of each group of a shard's rows.

    Args:
        by: the column that tells the group.
        numbers: of a row.
    """

    def __init__(self, by: str, numbers: RowNumbers):
        self._by, self._numbers = by, numbers
        self._positions: dict[str | None, int] = {}
        self._rows = np.zeros(0, np.int64)
        empty = np.zeros((0, numbers.count))
        self._sums, self._squares = empty, empty
        self._low, self._high = empty, empty
        self._positive, self._negative = empty.astype(np.int64), empty.astype(np.int64)

    def add(
        self, blocks: Mapping[str, np.ndarray], origin: np.ndarray, values: pa.ChunkedArray
    ) -> None:
        """Take in rows.

        Args:
            blocks: the inputs and quantities (numbers, rows), by name.
            origin: of `origin_near`, that differences are taken from.
            values: of the column that tells the group.

        Raises:
            HyperdiagError: if there are too many groups.
        """
        encoded = values.combine_chunks().cast(pa.string()).dictionary_encode("encode")
        names = encoded.dictionary.to_pylist()
        codes = np.asarray(encoded.indices)
        present, codes = np.unique(codes, return_inverse=True)
        positions = self._positions_of([names[at] for at in present])
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(present.size))
        self._rows[positions] += np.diff(starts, append=codes.size)
        for name, where in self._numbers.slices.items():
            numbers = blocks[name][:, order].astype(np.float64)
            at = np.ix_(positions, range(where.start, where.stop))
            self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(numbers, starts, 1).T)
            self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(numbers, starts, 1).T)
            for total, signed in ((self._positive, numbers > 0), (self._negative, numbers < 0)):
                total[at] += np.add.reduceat(signed, starts, 1, dtype=np.int64).T
            numbers -= origin[0, where, None]
            numbers -= origin[1, where, None]
            with np.errstate(over="ignore"):  # then they are infinite
                self._sums[at] += np.add.reduceat(numbers, starts, 1).T
                self._squares[at] += np.add.reduceat(np.square(numbers), starts, 1).T

    def _positions_of(self, names: Sequence[str | None]) -> list[int]:
        """Return the positions of groups, having made room for new ones."""
        for name in names:
            self._positions.setdefault(name, len(self._positions))
        new = len(self._positions) - self._rows.size
        if new:
            check_groups(self._by, len(self._positions), self._numbers.count)
            self._rows = np.pad(self._rows, (0, new))
            for name, fill in (
                *((name, 0) for name in ("_sums", "_squares", "_positive", "_negative")),
                *(("_low", np.inf), ("_high", -np.inf)),
            ):
                array = getattr(self, name)
                more = np.full((new, self._numbers.count), fill, array.dtype)
                setattr(self, name, np.concatenate([array, more]))
        return [self._positions[name] for name in names]

    def packed(self, origin: np.ndarray) -> tuple[list[str | None], dict[str, np.ndarray]]:
        """Return the names of the groups, sorted, and arrays for `Groups.add`."""
        names = sorted(self._positions, key=_order)
        order = [self._positions[name] for name in names]
        rows = self._rows[order]
        sums, squares = about_zero(
            rows[:, None], origin[:, None, :], self._sums[order], self._squares[order]
        )
        return names, {
            "group_rows": rows,
            "group_sums": sums,
            "group_squares": squares,
            "group_low": self._low[order],
            "group_high": self._high[order],
            "group_positive": self._positive[order],
            "group_negative": self._negative[order],
        }


def check_groups(by: str, groups: int, numbers: int) -> None:
    """Check how many groups there are.

    Raises:
        HyperdiagError: if they are too many.
    """
    if groups > MOST_GROUPS or groups * numbers > MOST_NUMBERS:
        most = min(MOST_GROUPS, MOST_NUMBERS // numbers)
        raise HyperdiagError(
            f"summary.by={by}: there are more than {most:,} groups, with statistics of {numbers:,} "
            "numbers each: take a column of fewer values, or fewer derivatives (derivatives.wrt, "
            "derivatives.outputs)"
        )


def _order(name: str | None) -> tuple[bool, str]:
    return name is not None, name or ""


class Groups:
    """Statistics of groups, which add up in any order to the same.

    Args:
        by: the column that tells the group.
        count: how many numbers a row has.
    """

    def __init__(self, by: str, count: int):
        self.by, self._count = by, count
        self._groups: dict[str | None, Moments] = {}

    def __iter__(self) -> Iterator[tuple[str | None, Moments]]:
        """Yield each group's name and moments, first that of rows without a value."""
        return ((name, self._groups[name]) for name in sorted(self._groups, key=_order))

    def add(self, names: Sequence[str | None], arrays: Mapping[str, np.ndarray]) -> None:
        """Take in groups of other rows.

        Args:
            names: of the groups.
            arrays: `group_rows` (groups,); and, with `group_` before each name, those of
                `Moments.add`, with an axis of the groups before that of the numbers.

        Raises:
            HyperdiagError: if there are too many.
        """
        for at, name in enumerate(names):
            group = self._groups.setdefault(name, Moments(self._count))
            of_group = {each: arrays[f"group_{each}"][..., at, :] for each in _ARRAYS}
            group.add(int(arrays["group_rows"][at]), of_group)
        check_groups(self.by, len(self._groups), self._count)

    def packed(self) -> tuple[list[str | None], dict[str, np.ndarray]]:
        """Return names and arrays for `add`; the same groups are the same."""
        rows = np.array([group.rows for _, group in self], np.int64)
        each = [group.arrays() for _, group in self]
        arrays = {f"group_{name}": self._joined([a[name] for a in each]) for name in _ARRAYS}
        return [name for name, _ in self], {"group_rows": rows, **arrays}

    def _joined(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return arrays of groups as one; some sums have more terms than others."""
        if not arrays or arrays[0].ndim == 1:
            return np.array(arrays).reshape(-1, self._count)
        joined = np.zeros((max(map(len, arrays)), len(arrays), self._count))
        for at, terms in enumerate(arrays):
            joined[: len(terms), at] = terms
        return joined


_ARRAYS = ("sums", "squares", "low", "high", "positive", "negative")
