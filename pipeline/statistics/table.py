"""Statistics as tables: `run/summary.parquet` and `run/extremes.parquet`."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa

from .extreme_rows import lists_of
from .histogram import quantile
from .numbers import INPUT
from .statistics import Statistics

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("by", pa.string()),
        pa.field("group", pa.string()),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("input", pa.string()),
        pa.field("statistic", pa.string(), nullable=False),
        pa.field("at", pa.float64()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)

Row = tuple[str | None, str | None, str, float | None, float]


def summary_table(statistics: Statistics) -> pa.Table:
    """Return a row for each statistic of each number.

    Args:
        statistics: of all rows.

    Returns:
        A table of `SUMMARY_SCHEMA`. `by` and `group` are null in statistics of all rows; `at` is
        the level of a quantile, or the middle of a curve's bin.
    """
    columns: list[list] = [[] for _ in SUMMARY_SCHEMA]
    if statistics.rows:
        for row in _rows(statistics):
            for column, value in zip(columns, (None, None, *row), strict=True):
                column.append(value)
    return pa.table(columns, schema=SUMMARY_SCHEMA)


def _rows(statistics: Statistics) -> Iterator[tuple]:
    numbers = statistics.shape.numbers
    mean_squares = statistics.squares.rounded() / statistics.rows
    variances = [_variance(statistics, at) for at in range(numbers.count)]
    for at, (quantity, output, name) in enumerate(numbers.names()):
        for statistic, value in _of_number(statistics, at, variances[at], mean_squares[at]):
            yield quantity, output, name, statistic, None, value
        if statistics.shape.histograms:
            values, counts = statistics.histograms.of(at)
            low, high = statistics.low[at], statistics.high[at]
            for level in LEVELS:
                # The middle of the lowest bin may lie beyond the lowest number.
                value = min(max(quantile(values, counts, level), low), high)
                yield quantity, output, name, "quantile", level, value
        if quantity == "jacobian" and output is not None and name is not None:
            of_output = numbers.position("value", output)
            if of_output is not None and variances[of_output] > 0:
                of_input = numbers.inputs.index(name)
                part = mean_squares[at] / variances[of_output]
                width = statistics.high[of_input] - statistics.low[of_input]
                uniform = part * width**2 / math.pi**2
                yield quantity, output, name, "total_index_bound_uniform", None, uniform
                normal = part * variances[of_input]
                yield quantity, output, name, "total_index_bound_normal", None, normal
    if statistics.shape.bins:
        yield from _curves(statistics)


def _of_number(
    statistics: Statistics, at: int, variance: float, mean_square: float
) -> Iterator[tuple[str, float]]:
    rows = statistics.rows
    total = statistics.sums.fraction(at)
    yield "count", rows
    yield "mean", math.inf if total is None else float(total / rows)
    yield "deviation", math.sqrt(variance)
    yield "mean_square", mean_square
    yield "minimum", statistics.low[at]
    yield "maximum", statistics.high[at]
    yield "positive", statistics.positive[at] / rows
    yield "negative", statistics.negative[at] / rows


def _variance(statistics: Statistics, at: int) -> float:
    """Return the variance of all rows as a population: mean square less squared mean."""
    total, squares = statistics.sums.fraction(at), statistics.squares.fraction(at)
    if total is None or squares is None:
        return math.inf
    if statistics.low[at] == statistics.high[at]:
        return 0.0
    mean = total / statistics.rows
    return float(max(squares / statistics.rows - mean * mean, Fraction(0)))


def _curves(statistics: Statistics) -> Iterator[tuple]:
    numbers, bins = statistics.shape.numbers, statistics.shape.bins
    sums = statistics.curves.rounded().reshape(statistics.shape.curves)
    for direction, name in enumerate(numbers.directions):
        low, high = statistics.shape.ranges[direction]
        middles = low + (np.arange(bins) + 0.5) * ((high - low) / bins)
        rows = statistics.bin_rows[direction]
        occupied = np.flatnonzero(rows).tolist()
        for at in occupied:
            yield INPUT, None, name, "bin_count", middles[at], rows[at]
        for quantity, of_quantity in zip(numbers.curves, sums, strict=True):
            for output, curve in zip(numbers.outputs, of_quantity[:, direction], strict=True):
                for at in occupied:
                    mean = curve[at] / rows[at]
                    yield quantity, output, name, "curve_mean", middles[at], mean


def extremes_table(statistics: Statistics) -> pa.Table:
    """Return the most extreme rows.

    Returns:
        Columns `quantity`, `output`, `input` (null for a value), `end` ("largest" or "smallest"),
        `rank` (from 1), `value`, `source_file`, `row_index` and `point`, a list of the n inputs.
    """
    numbers, extreme = statistics.shape.numbers, statistics.extreme
    rows = []
    for at, (quantity, end, output) in enumerate(lists_of(numbers)):
        for rank in range(int(np.isfinite(extreme.score[at]).sum())):
            direction = extreme.direction[at, rank]
            rows.append(
                {
                    "quantity": quantity,
                    "output": output,
                    "input": None if direction < 0 else numbers.directions[direction],
                    "end": end,
                    "rank": rank + 1,
                    "value": float(extreme.value[at, rank]),
                    "source_file": extreme.files[extreme.file[at, rank]],
                    "row_index": int(extreme.row[at, rank]),
                    "point": extreme.point[at, rank].tolist(),
                }
            )
    return pa.Table.from_pylist(rows, _EXTREMES_SCHEMA)


_EXTREMES_SCHEMA = pa.schema(
    [
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("output", pa.string(), nullable=False),
        pa.field("input", pa.string()),
        pa.field("end", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("row_index", pa.int64(), nullable=False),
        pa.field("point", pa.list_(pa.float64()), nullable=False),
    ]
)
