"""Statistics of the rows of each group: those with one value in a column of the dataset."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from hyperdiag.messages.errors import HyperdiagError

from .exact_sum import ExactSums
from .moments import statistics_of
from .numbers import RowNumbers
from .origin import about_zero, origin_near

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
        # Of each group, since groups may be of other sizes than the shard's first row.
        self._origin = np.zeros((2, 0, numbers.count))
        empty = np.zeros((0, numbers.count))
        self._sums, self._squares = empty, empty
        self._low, self._high = empty, empty
        self._positive, self._negative = empty.astype(np.int64), empty.astype(np.int64)

    def add(self, blocks: Mapping[str, np.ndarray], values: pa.ChunkedArray) -> None:
        """Take in rows.

        Args:
            blocks: the inputs and quantities (numbers, rows), by name.
            values: of the column that tells the group.

        Raises:
            HyperdiagError: if there are too many groups.
        """
        encoded = values.combine_chunks().cast(pa.string()).dictionary_encode("encode")
        # As bytes: text of other programs need not be UTF-8.
        texts = encoded.dictionary.cast(pa.binary()).to_pylist()
        names = [None if t is None else t.decode(errors="backslashreplace") for t in texts]
        codes = np.asarray(encoded.indices)
        present, codes = np.unique(codes, return_inverse=True)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(present.size))
        sizes = np.diff(starts, append=codes.size)
        firsts = np.concatenate([blocks[name][:, order[starts]] for name in self._numbers.slices])
        positions = self._positions_of([names[at] for at in present], firsts.T)
        self._rows[positions] += sizes
        for name, where in self._numbers.slices.items():
            numbers = blocks[name][:, order].astype(np.float64)
            at = np.ix_(positions, range(where.start, where.stop))
            self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(numbers, starts, 1).T)
            self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(numbers, starts, 1).T)
            for total, signed in ((self._positive, numbers > 0), (self._negative, numbers < 0)):
                total[at] += np.add.reduceat(signed, starts, 1, dtype=np.int64).T
            for part in self._origin:
                numbers -= np.repeat(part[at].T, sizes, axis=1)
            with np.errstate(over="ignore"):  # then they are infinite
                self._sums[at] += np.add.reduceat(numbers, starts, 1).T
                self._squares[at] += np.add.reduceat(np.square(numbers), starts, 1).T

    def _positions_of(self, names: Sequence[str | None], firsts: np.ndarray) -> list[int]:
        """Return the positions of groups, having made room for new ones.

        Args:
            names: of the groups.
            firsts: (groups, numbers), the first row of each.
        """
        known = len(self._positions)
        for name in names:
            self._positions.setdefault(name, len(self._positions))
        new = len(self._positions) - self._rows.size
        if new:
            check_groups(self._by, len(self._positions), self._numbers.count)
            self._rows = np.pad(self._rows, (0, new))
            added = [at for at, name in enumerate(names) if self._positions[name] >= known]
            origin = origin_near(firsts[added])
            self._origin = np.concatenate([self._origin, origin], axis=1)
            for name, fill in (
                *((name, 0) for name in ("_sums", "_squares", "_positive", "_negative")),
                *(("_low", np.inf), ("_high", -np.inf)),
            ):
                array = getattr(self, name)
                more = np.full((new, self._numbers.count), fill, array.dtype)
                setattr(self, name, np.concatenate([array, more]))
        return [self._positions[name] for name in names]

    def packed(self) -> tuple[list[str | None], dict[str, np.ndarray]]:
        """Return the names of the groups, sorted, and arrays for `Groups.add`."""
        names = sorted(self._positions, key=_order)
        order = [self._positions[name] for name in names]
        rows = self._rows[order]
        sums, squares = about_zero(
            rows[:, None], self._origin[:, order], self._sums[order], self._squares[order]
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
        self._positions: dict[str | None, int] = {}
        self._room = 0
        self._rows = np.zeros(0, np.int64)
        self._sums, self._squares = ExactSums(0), ExactSums(0)
        self._low, self._high = np.zeros((2, 0, count))
        self._positive, self._negative = np.zeros((2, 0, count), np.int64)

    @property
    def names(self) -> list[str | None]:
        """The names of the groups, sorted; first that of rows without a value."""
        return sorted(self._positions, key=_order)

    def add(self, names: Sequence[str | None], arrays: Mapping[str, np.ndarray]) -> None:
        """Take in groups of other rows.

        Args:
            names: of the groups, each once.
            arrays: of `packed`.

        Raises:
            HyperdiagError: if there are too many.
        """
        for name in names:
            self._positions.setdefault(name, len(self._positions))
        check_groups(self.by, len(self._positions), self._count)
        self._make_room()
        at = np.array([self._positions[name] for name in names], np.int64)
        self._rows[at] += arrays["group_rows"]
        entries = self._entries(at)
        for sums, name in ((self._sums, "group_sums"), (self._squares, "group_squares")):
            sums.add(arrays[name].reshape(len(arrays[name]), -1), entries)
        self._low[at] = np.minimum(self._low[at], arrays["group_low"])
        self._high[at] = np.maximum(self._high[at], arrays["group_high"])
        self._positive[at] += arrays["group_positive"]
        self._negative[at] += arrays["group_negative"]

    def _entries(self, at: np.ndarray) -> np.ndarray:
        """Return the positions of groups' numbers in sums."""
        return (at[:, None] * self._count + np.arange(self._count)).reshape(-1)

    def _make_room(self) -> None:
        if len(self._positions) > self._room:
            room = max(len(self._positions), 2 * self._room)
            more = (0, room - self._room)
            self._rows = np.pad(self._rows, more)
            self._low = np.pad(self._low, (more, (0, 0)), constant_values=np.inf)
            self._high = np.pad(self._high, (more, (0, 0)), constant_values=-np.inf)
            self._positive = np.pad(self._positive, (more, (0, 0)))
            self._negative = np.pad(self._negative, (more, (0, 0)))
            for sums in (self._sums, self._squares):
                sums.resize(room * self._count)
            self._room = room

    def packed(self) -> tuple[list[str | None], dict[str, np.ndarray]]:
        """Return names and arrays for `add`; the same groups are the same."""
        names = self.names
        at = np.array([self._positions[name] for name in names], np.int64)
        entries = self._entries(at)
        sums, squares = self._sums.terms()[:, entries], self._squares.terms()[:, entries]
        return names, {
            "group_rows": self._rows[at],
            "group_sums": sums.reshape(len(sums), at.size, self._count),
            "group_squares": squares.reshape(len(squares), at.size, self._count),
            "group_low": self._low[at],
            "group_high": self._high[at],
            "group_positive": self._positive[at],
            "group_negative": self._negative[at],
        }

    def statistics(self) -> dict[str, np.ndarray]:
        """Return statistics by name, float64 (groups, numbers) each, in the order of `names`."""
        at = np.array([self._positions[name] for name in self.names], np.int64)
        sums, squares = self._sums.units(), self._squares.units()
        entries = self._entries(at).tolist()
        each = statistics_of(
            np.repeat(self._rows[at], self._count),
            [sums[entry] for entry in entries],
            [squares[entry] for entry in entries],
            *(array[at].reshape(-1) for array in (self._low, self._high)),
            *(array[at].reshape(-1) for array in (self._positive, self._negative)),
        )
        return {name: values.reshape(-1, self._count) for name, values in each.items()}
