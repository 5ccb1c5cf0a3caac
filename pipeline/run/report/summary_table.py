"""`run/summary.parquet`, read into arrays: what a run says of its rows, by output and input.

The table is read twice, a batch at a time: once for the statistics of all rows, of which there may
be ten million; then, for the pairs of output and input that are shown, for curves and groups.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import SUCCESS, SUMMARY
from hyperdiag.messages.errors import UsageError, first_line
from hyperdiag.statistics.numbers import DERIVED

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
OF_GROUPS = (
    *("count", "mean", "deviation", "mean_square"),
    *("minimum", "maximum", "positive", "negative"),
)
STATISTICS = (
    *OF_GROUPS,
    *("total_index_bound_uniform", "total_index_bound_normal"),
    *(f"quantile {at:g}" for at in QUANTILES),
)
_FIRST_QUANTILE = len(STATISTICS) - len(QUANTILES)
QUANTITIES = ("input", "value", "jacobian", "hessian_diag", "laplacian")
_BY_INPUT = ("input", "jacobian", "hessian_diag")
_BATCH_ROWS = 1 << 20
_TEXTS = ("grouped_by", "group_name", "quantity", "output", "input", "statistic")

Pair = tuple[int, int]


class Curve(NamedTuple):
    """Means over the rows whose input lies in a bin, for each bin that has rows.

    Attributes:
        at: float64 (bins,), the centre of each, ascending.
        mean: float64 (bins,).
    """

    at: np.ndarray
    mean: np.ndarray


class SummaryTable:
    """The statistics of all rows.

    Args:
        output: the output folder, which has a `run/summary.parquet`.
        outputs: names of the network's m outputs, in its order.
        inputs: names of its n inputs.
        derived: columns of quantities that are derived from derivatives.

    Raises:
        UsageError: if the table cannot be read.

    Attributes:
        shape: m and n.
        derived: as given.
        derived_numbers: of these, float64 (statistics, columns), by the positions in STATISTICS;
            NaN where the table says nothing.
        numbers: {quantity: float64 (statistics, m, n)}, by the positions in STATISTICS; m is 1 for
            "input", n is 1 for "value" and "laplacian"; NaN where the table says nothing. Only
            quantities that it has.
        grouped_by: the column of the dataset that tells a row's group; None: there are no groups.
        has_quantiles, has_curves: whether it has any of all rows.
        groups: {group: rows}, the most rows first; None is the group of rows without a value.
    """

    def __init__(
        self,
        output: Place,
        outputs: Sequence[str],
        inputs: Sequence[str],
        derived: Sequence[str] = (),
    ):
        self._place = output / SUMMARY
        self._outputs = {name: at for at, name in enumerate(outputs)}
        self._inputs = {name: at for at, name in enumerate(inputs)}
        self.derived = derived
        self._derived = {name: at for at, name in enumerate(derived)}
        self.derived_numbers = np.full((len(STATISTICS), len(derived)), np.nan)
        self.shape = len(outputs), len(inputs)
        self.numbers: dict[str, np.ndarray] = {}
        self.has_quantiles = self.has_curves = False
        self.grouped_by: str | None = None
        self.groups: dict[str | None, int] = {}
        try:
            for batch in self._batches():
                self._take(batch)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UsageError(
                f"{self._place} cannot be read: {first_line(error).rstrip('.')}. hyperdiag verify "
                f"checks the rest of the output; once {SUCCESS} is deleted, the same command as "
                "before makes the file anew from the statistics of the shards"
            ) from error
        self.groups = dict(sorted(self.groups.items(), key=lambda item: (-item[1], item[0] or "")))

    def of(self, quantity: str, statistic: str) -> np.ndarray | None:
        """Return a statistic, (m, n) float64; None where the table has none of the quantity."""
        numbers = self.numbers.get(quantity)
        return None if numbers is None else numbers[STATISTICS.index(statistic)]

    def curves(self, pairs: Sequence[Pair]) -> dict[tuple[str, int, int], Curve]:
        """Return the dependence curves of pairs of output and input, by quantity and pair.

        With the quantity "input" and the output 0, `mean` is the number of rows in each bin.
        """
        wanted = np.zeros((len(self._outputs), len(self._inputs)), bool)
        for pair in pairs:
            wanted[pair] = True
        any_output = np.any(wanted, axis=0)
        parts = []
        for batch in self._batches():
            rows = batch.all_rows & (batch.input >= 0)
            means = rows & batch.is_statistic("curve_mean") & (batch.output >= 0)
            means[means] = wanted[batch.output[means], batch.input[means]]
            counts = rows & batch.is_statistic("bin_count")
            counts[counts] = any_output[batch.input[counts]]
            kept = means | counts
            columns = batch.quantity, np.maximum(batch.output, 0), batch.input, batch.at
            parts.append(np.stack([*(c[kept] for c in columns), batch.value[kept]]).astype(float))
        table = np.concatenate(parts, axis=1) if parts else np.empty((5, 0))
        table = table[:, np.lexsort(table[3::-1])]
        ends = np.flatnonzero((np.diff(table[:3]) != 0).any(axis=0)) + 1
        curves = {}
        for part in np.split(table, ends, axis=1) if table.size else []:
            quantity, output, place = part[:3, 0].astype(int)
            key = QUANTITIES[quantity], int(output), int(place)
            curves[key] = Curve(part[3], part[4])
        return curves

    def of_groups(
        self, groups: Sequence[str | None], pairs: Sequence[Pair]
    ) -> dict[str, np.ndarray]:
        """Return the statistics of groups.

        Args:
            groups: their names.
            pairs: of output and input.

        Returns:
            {quantity: float64 (groups, 8, pairs)}, in the order of OF_GROUPS, NaN where the table
            says nothing; of "value" and "laplacian", (groups, 8, m).
        """
        m, n = len(self._outputs), len(self._inputs)
        places = np.full((m, n), -1)
        for at, pair in enumerate(pairs):
            places[pair] = at
        positions = {group: at for at, group in enumerate(groups)}
        by_quantity: dict[str, np.ndarray] = {}
        for batch in self._batches():
            group = batch.groups(positions)
            rows = (group >= 0) & (batch.output >= 0) & (batch.quantity >= 0)
            rows &= (batch.statistic >= 0) & (batch.statistic < len(OF_GROUPS))
            for code in np.unique(batch.quantity[rows]):
                quantity = QUANTITIES[code]
                mine, place, size = rows & (batch.quantity == code), batch.output, m
                if quantity in _BY_INPUT:
                    mine &= batch.input >= 0
                    place, size = places[batch.output, batch.input], len(pairs)
                    mine &= place >= 0
                if quantity not in by_quantity:
                    by_quantity[quantity] = np.full((len(groups), len(OF_GROUPS), size), np.nan)
                where = group[mine], batch.statistic[mine], place[mine]
                by_quantity[quantity][where] = batch.value[mine]
        return by_quantity

    def _take(self, batch: "_Batch") -> None:
        """Take in the statistics of all rows, and how many rows each group has."""
        known = batch.all_rows & (batch.statistic >= 0)
        for code in np.unique(batch.quantity[known & (batch.quantity >= 0)]):
            quantity = QUANTITIES[code]
            rows = known & (batch.quantity == code)
            shape = [len(STATISTICS), len(self._outputs), len(self._inputs)]
            places = [batch.statistic, np.maximum(batch.output, 0), np.maximum(batch.input, 0)]
            if quantity == "input":
                shape[1] = 1
            else:
                rows &= batch.output >= 0
            if quantity in _BY_INPUT:
                rows &= batch.input >= 0
            else:
                shape[2] = 1
                rows &= batch.input < 0
            if quantity not in self.numbers:
                self.numbers[quantity] = np.full(shape, np.nan)
            self.numbers[quantity][tuple(place[rows] for place in places)] = batch.value[rows]
        column = batch.derived_columns(self._derived)
        rows = known & (column >= 0)
        self.derived_numbers[batch.statistic[rows], column[rows]] = batch.value[rows]
        counts = ~batch.all_rows & (batch.statistic == STATISTICS.index("count"))
        for group, rows in batch.largest_by_group(counts).items():
            self.groups[group] = max(self.groups.get(group, 0), rows)
        self.has_quantiles |= bool((known & (batch.statistic >= _FIRST_QUANTILE)).any())
        self.has_curves |= bool((batch.all_rows & batch.is_statistic("curve_mean")).any())
        self.grouped_by = self.grouped_by or batch.grouped_by

    def _batches(self) -> Iterator["_Batch"]:
        with self._place.filesystem.open_input_file(self._place.path) as source:
            file = pq.ParquetFile(source, read_dictionary=list(_TEXTS))
            for batch in file.iter_batches(_BATCH_ROWS, columns=[*_TEXTS, "position", "value"]):
                yield _Batch(batch, self._outputs, self._inputs)


class _Batch:
    """Rows of the table.

    Attributes:
        quantity, output, input, statistic: int64 (rows,), positions; -1 where a text is null or
            unknown.
        at, value: float64 (rows,), NaN where null.
        all_rows: bool (rows,), whether a row is of all rows and not of a group.
    """

    def __init__(
        self, batch: pa.RecordBatch, outputs: Mapping[str, int], inputs: Mapping[str, int]
    ):
        quantities = {name: at for at, name in enumerate(QUANTITIES)}
        statistics = {name: at for at, name in enumerate(STATISTICS)}
        self._texts = {name: _dictionary(batch[name]) for name in _TEXTS}
        self.at, self.value = (_floats(batch[name]) for name in ("position", "value"))
        self.quantity = self._positions("quantity", quantities)
        self.output = self._positions("output", outputs)
        self.input = self._positions("input", inputs)
        self.statistic = self._positions("statistic", statistics)
        quantiles = self.is_statistic("quantile")
        for place, at in enumerate(QUANTILES):
            self.statistic[quantiles & np.isclose(self.at, at, rtol=0, atol=1e-9)] = (
                _FIRST_QUANTILE + place
            )
        self.all_rows: np.ndarray = self._codes("grouped_by") < 0

    def is_statistic(self, name: str) -> np.ndarray:
        """Return which rows, (rows,) bool, are of a statistic as the table calls it."""
        return self._is("statistic", name)

    def derived_columns(self, positions: Mapping[str, int]) -> np.ndarray:
        """Return the position of each row's derived column, (rows,) int64; -1 where it has none."""
        columns = self._positions("output", positions)
        columns[~self._is("quantity", DERIVED)] = -1
        return columns

    def _is(self, column: str, text: str) -> np.ndarray:
        names = self._texts[column].dictionary.to_pylist()
        return self._codes(column) == (names.index(text) if text in names else -2)

    @property
    def grouped_by(self) -> str | None:
        """The column that tells a row's group; None where all are statistics of all rows."""
        names: list[str] = self._texts["grouped_by"].dictionary.to_pylist()
        return names[0] if names else None

    def groups(self, positions: Mapping[str | None, int]) -> np.ndarray:
        """Return the position of each row's group, (rows,) int64; -1 where it has none."""
        named = {name: at for name, at in positions.items() if name is not None}
        groups = self._positions("group_name", named)
        groups[self._codes("group_name") < 0] = positions.get(None, -1)
        groups[self.all_rows] = -1
        return groups

    def largest_by_group(self, rows: np.ndarray) -> dict[str | None, int]:
        """Return the largest value of some rows, (rows,) bool, of each group."""
        names = [*self._texts["group_name"].dictionary.to_pylist(), None]
        largest = np.full(len(names), -1.0)
        np.maximum.at(largest, self._codes("group_name")[rows], self.value[rows])  # -1: the last
        return {name: int(most) for name, most in zip(names, largest, strict=True) if most >= 0}

    def _codes(self, column: str) -> np.ndarray:
        return pc.fill_null(self._texts[column].indices, -1).to_numpy(zero_copy_only=False)

    def _positions(self, column: str, known: Mapping[str, int]) -> np.ndarray:
        names = self._texts[column].dictionary.to_pylist()
        positions = np.array([*(known.get(name, -1) for name in names), -1], np.int64)
        return positions[self._codes(column)]


def _dictionary(column: pa.Array) -> pa.DictionaryArray:
    return column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()


def _floats(column: pa.Array) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
