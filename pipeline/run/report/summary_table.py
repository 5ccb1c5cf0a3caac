"""`run/summary.parquet`, read into arrays: what a run says of its rows, by output and input.

The table is read twice, a batch at a time: once for the statistics of all rows, of which there may
be ten million; then, for the pairs of output and input that are shown, for curves and groups.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import SUMMARY
from hyperdiag.statistics.numbers import DERIVED
from hyperdiag.statistics.table import BANDS

from .damaged import unreadable
from .quantiles import are_coarse
from .summary_batch import (
    BIN_COUNT,
    CURVES,
    FIRST_QUANTILE,
    OF_GROUPS,
    QUANTITIES,
    STATISTICS,
    SummaryBatch,
    batches,
)

_BY_INPUT = ("input", "jacobian", "hessian_diag")

Pair = tuple[int, int]


# What there is of the rows whose input lies in a bin: endings of a quantity's name.
ENDINGS = ("", *(name.removeprefix("curve") for name in BANDS))


class Curve(NamedTuple):
    """A number of the rows whose input lies in a bin, for each bin that has rows.

    Attributes:
        at: float64 (bins,), the centre of each, ascending.
        numbers: float64 (bins,).
    """

    at: np.ndarray
    numbers: np.ndarray


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
        has_quantiles, has_curves, has_bands: whether it has quantiles, means over bins and
            quantiles over bins of all rows.
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
        self.has_quantiles = self.has_curves = self.has_bands = False
        self.grouped_by: str | None = None
        self.groups: dict[str | None, int] = {}
        try:
            for batch in self._batches():
                self._take(batch)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise unreadable(self._place, SUMMARY, error) from error
        self.coarse = {name: are_coarse(numbers) for name, numbers in self.numbers.items()}
        for name, coarse in self.coarse.items():
            self.numbers[name][FIRST_QUANTILE:, coarse] = np.nan
        self.derived_numbers[FIRST_QUANTILE:, are_coarse(self.derived_numbers)] = np.nan
        self.groups = dict(sorted(self.groups.items(), key=lambda item: (-item[1], item[0] or "")))

    def of(self, quantity: str, statistic: str) -> np.ndarray | None:
        """Return a statistic, (m, n) float64; None where the table has none of the quantity."""
        numbers = self.numbers.get(quantity)
        return None if numbers is None else numbers[STATISTICS.index(statistic)]

    def curves(self, pairs: Sequence[Pair]) -> dict[tuple[str, int, int], Curve]:
        """Return the dependence curves of pairs of output and input, by what they show and pair.

        A quantity's name stands for its means over bins; with one of the endings "_p10", "_median"
        and "_p90", for quantiles, where the table has them. "input", with the output 0, stands for
        the number of rows in each bin.
        """
        wanted = np.zeros((len(self._outputs), len(self._inputs)), bool)
        for pair in pairs:
            wanted[pair] = True
        any_output = np.any(wanted, axis=0)
        parts = [np.empty((6, 0))]
        for batch in self._batches():
            rows = batch.all_rows & (batch.input >= 0) & (batch.quantity >= 0)
            for code, statistic in enumerate(CURVES):
                mine = rows & batch.is_statistic(statistic)
                if statistic == BIN_COUNT:
                    mine[mine] = any_output[batch.input[mine]]
                    code = 0
                else:
                    mine &= batch.output >= 0
                    mine[mine] = wanted[batch.output[mine], batch.input[mine]]
                of = np.full(batch.at.size, code), batch.quantity, np.maximum(batch.output, 0)
                columns = *of, batch.input, batch.at, batch.value
                parts.append(np.stack([column[mine] for column in columns]).astype(float))
        table = np.concatenate(parts, axis=1)
        table = table[:, np.lexsort(table[4::-1])]
        ends = np.flatnonzero((np.diff(table[:4]) != 0).any(axis=0)) + 1
        curves = {}
        for part in np.split(table, ends, axis=1) if table.size else []:
            code, quantity, output, place = part[:4, 0].astype(int)
            key = f"{QUANTITIES[quantity]}{ENDINGS[code]}", int(output), int(place)
            curves[key] = Curve(part[4], part[5])
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
            says nothing; of "value" and "laplacian", (groups, 8, m); of "derived", (groups, 8,
            columns), always.
        """
        m, n = len(self._outputs), len(self._inputs)
        places = np.full((m, n), -1)
        for at, pair in enumerate(pairs):
            places[pair] = at
        positions = {group: at for at, group in enumerate(groups)}
        derived = np.full((len(groups), len(OF_GROUPS), len(self.derived)), np.nan)
        by_quantity = {DERIVED: derived}
        for batch in self._batches():
            group = batch.groups(positions)
            known = (group >= 0) & (batch.statistic >= 0) & (batch.statistic < len(OF_GROUPS))
            column = batch.derived_columns(self._derived)
            mine = known & (column >= 0)
            derived[group[mine], batch.statistic[mine], column[mine]] = batch.value[mine]
            rows = known & (batch.output >= 0) & (batch.quantity >= 0)
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

    def _take(self, batch: SummaryBatch) -> None:
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
        self.has_quantiles |= bool((known & (batch.statistic >= FIRST_QUANTILE)).any())
        self.has_curves |= bool((batch.all_rows & batch.is_statistic("curve_mean")).any())
        self.has_bands |= bool((batch.all_rows & batch.is_statistic("curve_median")).any())
        self.grouped_by = self.grouped_by or batch.grouped_by

    def _batches(self) -> Iterator[SummaryBatch]:
        return batches(self._place, self._outputs, self._inputs)
