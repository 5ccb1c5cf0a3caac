"""`run/summary.parquet`, a part at a time, its texts as positions."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.statistics.numbers import DERIVED
from hyperdiag.statistics.table import BANDS
from hyperdiag.statistics.table import LEVELS as QUANTILES

OF_GROUPS = (
    *("count", "mean", "deviation", "mean_square"),
    *("minimum", "maximum", "positive", "negative"),
)
STATISTICS = (
    *OF_GROUPS,
    *("total_index_bound_uniform", "total_index_bound_normal"),
    *(f"quantile {at:g}" for at in QUANTILES),
)
FIRST_QUANTILE = len(STATISTICS) - len(QUANTILES)
QUANTITIES = ("input", "value", "jacobian", "hessian_diag", "laplacian")
# Of the rows whose input lies in a bin; the last of the input alone.
BIN_COUNT = "bin_count"
CURVES = ("curve_mean", *BANDS, BIN_COUNT)
_BATCH_ROWS = 1 << 20
_TEXTS = ("grouped_by", "group_name", "quantity", "output", "input", "statistic")


def batches(
    place: Place, outputs: Mapping[str, int], inputs: Mapping[str, int]
) -> Iterator["SummaryBatch"]:
    """Yield the rows of a table of statistics.

    Args:
        place: the file.
        outputs, inputs: positions of the network's outputs and inputs, by name.

    Raises:
        OSError, ArrowException, KeyError: if it cannot be read.
    """
    with place.filesystem.open_input_file(place.path) as source:
        file = pq.ParquetFile(source, read_dictionary=list(_TEXTS))
        for batch in file.iter_batches(_BATCH_ROWS, columns=[*_TEXTS, "position", "value"]):
            yield SummaryBatch(batch, outputs, inputs)


class SummaryBatch:
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
                FIRST_QUANTILE + place
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
