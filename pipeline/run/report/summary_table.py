"""What a run says of some rows, all or those of a group: arrays by output and input."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hyperdiag.statistics.table import BANDS

from .quantiles import are_coarse
from .summary_batch import BIN_COUNT, CURVES, FIRST_QUANTILE, QUANTITIES, STATISTICS, SummaryBatch

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


Curves = Mapping[tuple[str, int, int], Curve]


class SummaryTable:
    """The statistics of some rows.

    Args:
        m, n: how many outputs and inputs the network has.
        derived: columns of quantities that are derived from derivatives.

    Attributes:
        shape: m and n.
        derived: as given.
        derived_numbers: of these, float64 (statistics, columns), by the positions in STATISTICS;
            NaN where the table says nothing.
        numbers: {quantity: float64 (statistics, m, n)}, by the positions in STATISTICS; m is 1 for
            "input", n is 1 for "value" and "laplacian"; NaN where the table says nothing. Only
            quantities that it has.
        coarse: {quantity: bool (m, n)}, whether quantiles say nothing, and are left out.
        has_quantiles, has_curves, has_bands: whether it has quantiles, means over bins and
            quantiles over bins.
    """

    def __init__(self, m: int, n: int, derived: Sequence[str]):
        self.shape = m, n
        self.derived = derived
        self.derived_numbers = np.full((len(STATISTICS), len(derived)), np.nan)
        self.numbers: dict[str, np.ndarray] = {}
        self.coarse: dict[str, np.ndarray] = {}
        self.has_quantiles = self.has_curves = self.has_bands = False

    def of(self, quantity: str, statistic: str) -> np.ndarray | None:
        """Return a statistic, (m, n) float64; None where the table has none of the quantity."""
        numbers = self.numbers.get(quantity)
        return None if numbers is None else numbers[STATISTICS.index(statistic)]

    def take(self, batch: SummaryBatch, mine: np.ndarray, derived: Mapping[str, int]) -> None:
        """Take in what a part of the file says of these rows.

        Args:
            batch: the part.
            mine: bool, which of its lines are of these rows.
            derived: positions of the derived columns, by name.
        """
        known = mine & (batch.statistic >= 0)
        for code in np.unique(batch.quantity[known & (batch.quantity >= 0)]):
            quantity = QUANTITIES[code]
            rows = known & (batch.quantity == code)
            shape = [len(STATISTICS), *self.shape]
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
        column = batch.derived_columns(derived)
        rows = known & (column >= 0)
        self.derived_numbers[batch.statistic[rows], column[rows]] = batch.value[rows]
        self.has_quantiles |= bool((known & (batch.statistic >= FIRST_QUANTILE)).any())
        self.has_curves |= bool((mine & batch.is_statistic("curve_mean")).any())
        self.has_bands |= bool((mine & batch.is_statistic("curve_median")).any())

    def leave_coarse_quantiles_out(self) -> None:
        """Leave quantiles out that say nothing, when all is taken in."""
        self.coarse = {name: are_coarse(numbers) for name, numbers in self.numbers.items()}
        for name, coarse in self.coarse.items():
            self.numbers[name][FIRST_QUANTILE:, coarse] = np.nan
        self.derived_numbers[FIRST_QUANTILE:, are_coarse(self.derived_numbers)] = np.nan


class CurveLines:
    """The lines of a file that are of the dependence curves of some rows.

    Args:
        shape: m and n.
        pairs: of output and input, whose curves they are.
    """

    def __init__(self, shape: tuple[int, int], pairs: Iterable[Pair]):
        self._wanted = np.zeros(shape, bool)
        for pair in pairs:
            self._wanted[pair] = True
        self._any_output = np.any(self._wanted, axis=0)
        self._parts = [np.empty((6, 0))]

    def take(self, batch: SummaryBatch, mine: np.ndarray) -> None:
        """Take in those of a part of the file; `mine`: bool, which of it is of these rows."""
        lines = mine & (batch.input >= 0) & (batch.quantity >= 0)
        for code, statistic in enumerate(CURVES):
            some = lines & batch.is_statistic(statistic)
            if statistic == BIN_COUNT:
                some[some] = self._any_output[batch.input[some]]
                code = 0
            else:
                some &= batch.output >= 0
                some[some] = self._wanted[batch.output[some], batch.input[some]]
            of = np.full(batch.at.size, code), batch.quantity, np.maximum(batch.output, 0)
            columns = *of, batch.input, batch.at, batch.value
            self._parts.append(np.stack([column[some] for column in columns]).astype(float))

    def curves(self) -> dict[tuple[str, int, int], Curve]:
        """Return the curves by what they show, output and input.

        A quantity's name stands for its means over bins; with one of the endings "_p10", "_median"
        and "_p90", for quantiles, where the file has them. "input", with the output 0, stands for
        the number of rows in each bin.
        """
        table = np.concatenate(self._parts, axis=1)
        table = table[:, np.lexsort(table[4::-1])]
        ends = np.flatnonzero((np.diff(table[:4]) != 0).any(axis=0)) + 1
        curves = {}
        for part in np.split(table, ends, axis=1) if table.size else []:
            code, quantity, output, place = part[:4, 0].astype(int)
            key = f"{QUANTITIES[quantity]}{ENDINGS[code]}", int(output), int(place)
            curves[key] = Curve(part[4], part[5])
        return curves
