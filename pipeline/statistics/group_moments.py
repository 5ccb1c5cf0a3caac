"""Counts, sums, squares and ends of the rows of each of many groups.

Where there are too many groups, there are statistics of none. Whether there are shows as soon as
they are too many of any of the rows, and stays so whatever comes: neither the order of rows nor who
has looked at them is seen.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .exact_sum import ExactSums, beyond_float64
from .group_names import Name, group_order, most_groups
from .moments import statistics_of
from .numbers import RowNumbers
from .origin import about_zero, origin_near

# Names of groups, and arrays, whose order is theirs; None for names where there were too many.
PackedMoments = tuple[list[Name] | None, dict[str, np.ndarray]]
TOO_MANY: PackedMoments = None, {}


class GroupMomentsOfShard:
    """Gathers those of each group of a shard's rows.

    Args:
        numbers: of a row.
    """

    def __init__(self, numbers: RowNumbers):
        self._numbers = numbers
        self._too_many = False
        self._clear()

    def _clear(self) -> None:
        """Hold no groups."""
        numbers = self._numbers
        self._positions: dict[Name, int] = {}
        self._rows = np.zeros(0, np.int64)
        # Of each group, since groups may be of other sizes than the shard's first row.
        self._origin = np.zeros((2, 0, numbers.count))
        empty = np.zeros((0, numbers.count))
        self._sums, self._squares = empty, empty
        self._low, self._high = empty, empty
        self._positive, self._negative = empty.astype(np.int64), empty.astype(np.int64)

    @beyond_float64
    def add(
        self, blocks: Mapping[str, np.ndarray], names: Sequence[Name], codes: np.ndarray
    ) -> None:
        """Take in rows.

        Args:
            blocks: the inputs and quantities (numbers, rows), by name.
            names: of the groups that they are of.
            codes: (rows,), the position of each row's group among these.
        """
        if self._too_many:
            return
        if len(self._positions.keys() | {*names}) > most_groups(self._numbers.count):
            self._clear()
            self._too_many = True
            return
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names)))
        sizes = np.diff(starts, append=codes.size)
        firsts = np.concatenate([blocks[name][:, order[starts]] for name in self._numbers.slices])
        positions = self._positions_of(names, firsts.T)
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
            self._sums[at] += np.add.reduceat(numbers, starts, 1).T
            self._squares[at] += np.add.reduceat(np.square(numbers), starts, 1).T

    def _positions_of(self, names: Sequence[Name], firsts: np.ndarray) -> list[int]:
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

    @beyond_float64
    def packed(self) -> PackedMoments:
        """Return the names of the groups, sorted, and arrays for `GroupMoments.add`."""
        if self._too_many:
            return TOO_MANY
        names = sorted(self._positions, key=group_order)
        order = [self._positions[name] for name in names]
        rows = self._rows[order]
        sums, squares = about_zero(
            rows[:, None], self._origin[:, order], self._sums[order], self._squares[order]
        )
        return names, {
            "rows": rows,
            "sums": sums,
            "squares": squares,
            # Of zeros with both signs, which is the least depends on their order: plus zero.
            "low": self._low[order] + 0.0,
            "high": self._high[order] + 0.0,
            "positive": self._positive[order],
            "negative": self._negative[order],
        }


class GroupMoments:
    """Those of groups, which add up in any order to the same.

    Args:
        numbers: how many numbers a row has.

    Attributes:
        too_many: whether there were more than may be: then there are none any more.
    """

    def __init__(self, numbers: int):
        self.numbers = numbers
        self.too_many = False
        self._clear()

    def _clear(self) -> None:
        """Hold no groups."""
        numbers = self.numbers
        self._positions: dict[Name, int] = {}
        self._room = 0
        self._rows = np.zeros(0, np.int64)
        self._sums, self._squares = ExactSums(0), ExactSums(0)
        self._low, self._high = np.zeros((2, 0, numbers))
        self._positive, self._negative = np.zeros((2, 0, numbers), np.int64)

    @property
    def names(self) -> list[Name]:
        """The names of the groups, sorted; first that of rows without a value."""
        return sorted(self._positions, key=group_order)

    def add(self, names: Sequence[Name] | None, arrays: Mapping[str, np.ndarray]) -> None:
        """Take in groups of other rows.

        Args:
            names: of the groups, each once; None: there were too many.
            arrays: of `packed`.
        """
        if self.too_many:
            return
        for name in names or ():
            self._positions.setdefault(name, len(self._positions))
        if names is None or len(self._positions) > most_groups(self.numbers):
            self._clear()
            self.too_many = True
            return
        self._make_room()
        at = np.array([self._positions[name] for name in names], np.int64)
        self._rows[at] += arrays["rows"]
        entries = self._entries(at)
        for sums, name in ((self._sums, "sums"), (self._squares, "squares")):
            sums.add(arrays[name].reshape(len(arrays[name]), -1), entries)
        self._low[at] = np.minimum(self._low[at], arrays["low"])
        self._high[at] = np.maximum(self._high[at], arrays["high"])
        self._positive[at] += arrays["positive"]
        self._negative[at] += arrays["negative"]

    def add_group(self, name: Name, rows: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Take in some rows of a group.

        Args:
            name: of the group.
            rows: how many rows.
            arrays: as of `Moments.add`.
        """
        names = ("sums", "squares", "low", "high", "positive", "negative")
        of_group = {each: np.expand_dims(arrays[each], -2) for each in names}
        self.add([name], {"rows": np.array([rows]), **of_group})

    def _entries(self, at: np.ndarray) -> np.ndarray:
        """Return the positions of groups' numbers in sums."""
        return (at[:, None] * self.numbers + np.arange(self.numbers)).reshape(-1)

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
                sums.resize(room * self.numbers)
            self._room = room

    def packed(self) -> PackedMoments:
        """Return names and arrays for `add`; the same groups are the same."""
        if self.too_many:
            return TOO_MANY
        names = self.names
        at = np.array([self._positions[name] for name in names], np.int64)
        entries = self._entries(at)
        sums, squares = self._sums.terms()[:, entries], self._squares.terms()[:, entries]
        return names, {
            "rows": self._rows[at],
            "sums": sums.reshape(len(sums), at.size, self.numbers),
            "squares": squares.reshape(len(squares), at.size, self.numbers),
            "low": self._low[at],
            "high": self._high[at],
            "positive": self._positive[at],
            "negative": self._negative[at],
        }

    def statistics(self) -> dict[str, np.ndarray]:
        """Return statistics by name, float64 (groups, numbers) each, in the order of `names`."""
        at = np.array([self._positions[name] for name in self.names], np.int64)
        sums, squares = self._sums.units(), self._squares.units()
        entries = self._entries(at).tolist()
        each = statistics_of(
            np.repeat(self._rows[at], self.numbers),
            [sums[entry] for entry in entries],
            [squares[entry] for entry in entries],
            *(array[at].reshape(-1) for array in (self._low, self._high)),
            *(array[at].reshape(-1) for array in (self._positive, self._negative)),
        )
        return {name: values.reshape(-1, self.numbers) for name, values in each.items()}
