"""Statistics as tables: `run/summary.parquet` and `run/extremes.parquet`."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from .extreme_rows import lists_of
from .histogram import quantiles
from .numbers import INPUT, RowNumbers
from .statistics import Statistics

# Statistics of the bins of curves, and the levels of these quantiles.
BANDS = {"curve_p10": 0.1, "curve_median": 0.5, "curve_p90": 0.9}
_LEAST_ROWS = 10  # of a sample, in a bin, for these
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("grouped_by", pa.string()),
        pa.field("group_name", pa.string()),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("input", pa.string()),
        pa.field("statistic", pa.string(), nullable=False),
        pa.field("position", pa.float64()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
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


@np.errstate(over="ignore")  # bounds of the largest numbers, which are not shown then
def summary_table(statistics: Statistics) -> pa.Table:
    """Return a row for each statistic of each number.

    Args:
        statistics: of all rows.

    Returns:
        A table of `SUMMARY_SCHEMA`. `grouped_by` and `group_name` are null in statistics of all
        rows; `position` is the level of a quantile, or the middle of a curve's bin.
    """
    parts = [SUMMARY_SCHEMA.empty_table()]
    if statistics.moments.rows:
        moments = statistics.moments.statistics()
        names = _Names(statistics.shape.numbers)
        parts += [names.rows(statistic, values) for statistic, values in moments.items()]
        parts += _quantiles(statistics, names)
        parts += _bounds(statistics, names, moments)
        parts += _curves(statistics)
        parts += _groups(statistics, names)
    return pa.concat_tables(parts).combine_chunks()


class _Names:
    """The names of the numbers of a row, as columns."""

    def __init__(self, numbers: RowNumbers):
        columns = zip(*numbers.names(), strict=True)
        self._columns = [pa.array(column, pa.string()) for column in columns]
        self._count = numbers.count

    def rows(
        self,
        statistic: str,
        values: np.ndarray,
        which: Sequence[int] | np.ndarray | None = None,
        position: float | None = None,
        group: tuple[str, pa.Array] | None = None,
    ) -> pa.Table:
        """Return rows of one statistic.

        Args:
            statistic: which.
            values: float64, of each number; or of each group's numbers, one group after the other.
            which: positions of the numbers; None: all.
            position: of all of them.
            group: the column that tells the groups, and the name of each.
        """
        at = np.arange(self._count) if which is None else np.asarray(which, np.int64)
        by, names = pa.nulls(values.size, pa.string()), pa.nulls(values.size, pa.string())
        if group is not None:
            by = pa.repeat(pa.scalar(group[0], pa.string()), values.size)
            names = group[1].take(pa.array(np.repeat(np.arange(len(group[1])), at.size)))
            at = np.tile(at, len(group[1]))
        quantity, output, name = (column.take(pa.array(at)) for column in self._columns)
        return _table(by, names, quantity, output, name, statistic, position, values)


def _table(
    by: pa.Array,
    group: pa.Array,
    quantity: pa.Array,
    output: pa.Array,
    name: pa.Array,
    statistic: str,
    position: float | np.ndarray | None,
    values: np.ndarray,
) -> pa.Table:
    count = len(values)
    if isinstance(position, np.ndarray):
        positions = pa.array(position, pa.float64())
    else:
        positions = pa.repeat(pa.scalar(position, pa.float64()), count)
    statistics = pa.repeat(pa.scalar(statistic, pa.string()), count)
    value = pa.array(np.asarray(values, np.float64))
    columns = [by, group, quantity, output, name, statistics, positions, value]
    return pa.table(columns, schema=SUMMARY_SCHEMA)


def _quantiles(statistics: Statistics, names: _Names) -> Iterator[pa.Table]:
    if not statistics.shape.histograms:
        return
    low, high = statistics.moments.ends()
    counted = (statistics.histograms.of(at) for at in range(low.size))
    of_numbers = np.array([quantiles(*each, LEVELS) for each in counted])
    for level, values in zip(LEVELS, of_numbers.T, strict=True):
        # The middle of the lowest bin may lie beyond the lowest number.
        yield names.rows("quantile", np.clip(values, low, high), position=level)


def _bounds(
    statistics: Statistics, names: _Names, moments: Mapping[str, np.ndarray]
) -> Iterator[pa.Table]:
    """Yield bounds of total Sobol indices, from mean squares of derivatives (DGSM).

    nu (b - a)^2 / (pi^2 V) for inputs that are uniform from a to b, and nu s^2 / V for normal ones
    of deviation s; nu is the mean of (dy/dx)^2, V the variance of y (Sobol' and Kucherenko, 2009).
    """
    numbers = statistics.shape.numbers
    if not {"value", "jacobian"} <= numbers.slices.keys():
        return
    m, k = len(numbers.outputs), len(numbers.directions)
    variances = moments["deviation"][numbers.slices["value"]] ** 2
    mean_squares = moments["mean_square"][numbers.slices["jacobian"]].reshape(m, k)
    at = [numbers.inputs.index(name) for name in numbers.directions]
    low, high = statistics.moments.ends()
    which = np.arange(numbers.slices["jacobian"].start, numbers.slices["jacobian"].stop)
    squares = {
        "uniform": ((high - low)[at] / math.pi) ** 2,
        "normal": moments["deviation"][at] ** 2,
    }
    for kind, square in squares.items():
        with np.errstate(divide="ignore", invalid="ignore"):  # of an output that is constant
            bounds = (mean_squares * square / variances[:, None]).reshape(-1)
        good = np.isfinite(bounds)
        yield names.rows(f"total_index_bound_{kind}", bounds[good], which[good])


def _curves(statistics: Statistics) -> Iterator[pa.Table]:
    """Yield the means of value, Jacobian and Hessian diagonal over bins of each input."""
    numbers, bins = statistics.shape.numbers, statistics.shape.bins
    if not bins:
        return
    low, high = np.array(statistics.shape.ranges, np.float64).reshape(-1, 2).T
    middles = low[:, None] + (np.arange(bins) + 0.5) * ((high - low) / bins)[:, None]
    direction, place = np.nonzero(statistics.bin_rows)
    rows, position = statistics.bin_rows[direction, place], middles[direction, place]
    inputs = pa.array(numbers.directions, pa.string()).take(pa.array(direction))
    nothing = pa.nulls(rows.size, pa.string())
    quantity = pa.repeat(pa.scalar(INPUT, pa.string()), rows.size)
    yield _table(nothing, nothing, quantity, nothing, inputs, "bin_count", position, rows)
    sums = statistics.curves.rounded().reshape(statistics.shape.curves)
    for name, of_quantity in zip(numbers.curves, sums, strict=True):
        quantity = pa.repeat(pa.scalar(name, pa.string()), rows.size)
        for output, curve in zip(numbers.outputs, of_quantity, strict=True):
            outputs = pa.repeat(pa.scalar(output, pa.string()), rows.size)
            means = curve[direction, place] / rows
            yield _table(nothing, nothing, quantity, outputs, inputs, "curve_mean", position, means)
    yield from _bands(statistics, middles)


def _bands(statistics: Statistics, middles: np.ndarray) -> Iterator[pa.Table]:
    """Yield quantiles of a sample's rows in bins of each input, whose middles are (k, bins)."""
    numbers = statistics.shape.numbers
    sample = statistics.sample().numbers.astype(np.float64)
    places = statistics.shape.bins_of(sample[:, : len(numbers.directions)].T)
    positions, bins = numbers.curve_positions, middles.shape[1]
    rows = np.array([np.bincount(of, minlength=bins + 1)[:-1] for of in places]).reshape(-1, bins)
    direction, place = np.nonzero(rows >= _LEAST_ROWS)
    values = np.zeros((len(BANDS), *positions.shape[:2], direction.size))
    for at, (of, bin_) in enumerate(zip(direction, place, strict=True)):
        some = sample[places[of] == bin_][:, positions[:, :, of]]
        values[..., at] = _quantiles_within(some, [*BANDS.values()])
    inputs = pa.array(numbers.directions, pa.string()).take(pa.array(direction))
    nothing, position = pa.nulls(direction.size, pa.string()), middles[direction, place]
    for quantity, output in np.ndindex(positions.shape[:2]):
        name, of_output = (
            pa.repeat(pa.scalar(each, pa.string()), direction.size)
            for each in (numbers.curves[quantity], numbers.outputs[output])
        )
        for statistic, each in zip(BANDS, values[:, quantity, output], strict=True):
            yield _table(nothing, nothing, name, of_output, inputs, statistic, position, each)


def _quantiles_within(numbers: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return quantiles (levels, ...) of finite numbers (rows, ...).

    Of the largest, too, whose differences are infinite.
    """
    scale = 0.25 if np.abs(numbers).max() > 1e300 else 1.0
    return np.quantile(scale * numbers, levels, axis=0) / scale


def _groups(statistics: Statistics, names: _Names) -> Iterator[pa.Table]:
    if statistics.groups is None:
        return
    group = statistics.groups.by, pa.array(statistics.groups.names, pa.string())
    for statistic, values in statistics.groups.statistics().items():
        yield names.rows(statistic, values.reshape(-1), group=group)


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
