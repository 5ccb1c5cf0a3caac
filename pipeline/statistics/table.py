"""Statistics as tables: `run/summary.parquet` and `run/extremes.parquet`."""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from .extreme_rows import lists_of
from .histogram import quantile
from .numbers import INPUT
from .statistics import Statistics

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("grouped_by", pa.string()),
        pa.field("group_name", pa.string()),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("input", pa.string()),
        pa.field("statistic", pa.string(), nullable=False),
        pa.field("at", pa.float64()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)

# Without `grouped_by` and `group_name`.
Whole = tuple[str, str | None, str | None, str, float | None, float]
Row = tuple[str | None, str | None, str, str | None, str | None, str, float | None, float]


def summary_table(statistics: Statistics) -> pa.Table:
    """Return a row for each statistic of each number.

    Args:
        statistics: of all rows.

    Returns:
        A table of `SUMMARY_SCHEMA`. `grouped_by` and `group_name` are null in statistics of all
        rows; `at` is the level of a quantile, or the middle of a curve's bin.
    """
    columns: list[list] = [[] for _ in SUMMARY_SCHEMA]
    for row in _rows(statistics):
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return pa.table(columns, schema=SUMMARY_SCHEMA)


def _rows(statistics: Statistics) -> Iterator[Row]:
    if statistics.moments.rows:
        for row in (*_of_numbers(statistics), *_bounds(statistics), *_curves(statistics)):
            yield None, None, *row
    if statistics.groups is None:
        return
    for name, moments in statistics.groups:
        numbers = statistics.shape.numbers.names()
        for number, each in zip(numbers, moments.statistics(), strict=True):
            for statistic, value in each.items():
                yield statistics.groups.by, name, *number, statistic, None, value


def _of_numbers(statistics: Statistics) -> Iterator[Whole]:
    """Yield moments and quantiles."""
    moments = statistics.moments
    pairs = zip(statistics.shape.numbers.names(), moments.statistics(), strict=True)
    for at, (number, each) in enumerate(pairs):
        for statistic, value in each.items():
            yield *number, statistic, None, value
        if statistics.shape.histograms:
            values, counts = statistics.histograms.of(at)
            for level in LEVELS:
                # The middle of the lowest bin may lie beyond the lowest number.
                value = min(max(quantile(values, counts, level), moments.low(at)), moments.high(at))
                yield *number, "quantile", level, value


def _bounds(statistics: Statistics) -> Iterator[Whole]:
    """Yield bounds of total Sobol indices, from mean squares of derivatives (DGSM).

    nu (b - a)^2 / (pi^2 V) for inputs that are uniform from a to b, and nu s^2 / V for normal ones
    of deviation s; nu is the mean of (dy/dx)^2, V the variance of y (Sobol' and Kucherenko, 2009).
    """
    numbers, moments = statistics.shape.numbers, statistics.moments
    each = moments.statistics()
    for at, (quantity, output, name) in enumerate(numbers.names()):
        if quantity != "jacobian" or output is None or name is None:
            continue
        of_input, of_output = numbers.inputs.index(name), numbers.position("value", output)
        variance = 0.0 if of_output is None else each[of_output]["deviation"] ** 2
        if 0 < variance < math.inf:
            part = each[at]["mean_square"] / variance
            width = moments.high(of_input) - moments.low(of_input)
            for kind, square in (
                ("uniform", width**2 / math.pi**2),
                ("normal", each[of_input]["deviation"] ** 2),
            ):
                yield quantity, output, name, f"total_index_bound_{kind}", None, part * square


def _curves(statistics: Statistics) -> Iterator[Whole]:
    """Yield the means of value, Jacobian and Hessian diagonal over bins of each input."""
    numbers, bins = statistics.shape.numbers, statistics.shape.bins
    if not bins:
        return
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
        Columns `quantity`, `output`, `input` (null for a value), `extreme` ("largest" or
        "smallest"), `rank` (from 1), `value`, `source_file`, `row_index` and `point`, a list of
        the n inputs.
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
                    "extreme": end,
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
        pa.field("extreme", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("row_index", pa.int64(), nullable=False),
        pa.field("point", pa.list_(pa.float64()), nullable=False),
    ]
)
