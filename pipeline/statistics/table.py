"""Statistics as tables: `run/summary.parquet` and `run/extremes.parquet`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from .extreme_rows import lists_of
from .group_names import Name
from .histogram import quantiles
from .numbers import INPUT, RowNumbers
from .row_statistics import RowStatistics
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
        pa.field("grouped_by", pa.string()),
        pa.field("group_name", pa.string()),
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
    for of, rows in _sets_of_rows(statistics):
        parts += _statistics(rows, of)
    parts += _moments_of_groups(statistics)
    return pa.concat_tables(parts).combine_chunks()


class _Of(NamedTuple):
    """Which rows statistics are of.

    Attributes:
        by: the column that tells the group; None: all rows.
        group: the name of the group.
    """

    by: str | None = None
    group: Name = None


def _sets_of_rows(statistics: Statistics) -> Iterator[tuple[_Of, RowStatistics]]:
    """Yield all rows, and each group that has all statistics."""
    rows = statistics.all_rows()
    if rows.moments.rows:
        yield _Of(), rows
    yield from ((_Of(statistics.shape.by, n), statistics.complete[n]) for n in statistics.names)


def _statistics(rows: RowStatistics, of: _Of) -> Iterator[pa.Table]:
    moments = rows.moments.statistics()
    names = _Names(rows.shape.numbers, of)
    for statistic, values in moments.items():
        yield names.rows(statistic, values)
    yield from _quantiles(rows, names)
    yield from _bounds(rows, names, moments)
    yield from _curves(rows, of)


class _Names:
    """The names of the numbers of a row, as columns."""

    def __init__(self, numbers: RowNumbers, of: _Of):
        columns = zip(*numbers.names(), strict=True)
        self._columns = [pa.array(column, pa.string()) for column in columns]
        self._of = of

    def rows(
        self,
        statistic: str,
        values: np.ndarray,
        which: np.ndarray | None = None,
        position: float | None = None,
    ) -> pa.Table:
        """Return rows of one statistic.

        Args:
            statistic: which.
            values: float64, of each number.
            which: positions of the numbers; None: all.
            position: of all of them.
        """
        at = np.arange(values.size) if which is None else which
        columns = [column.take(pa.array(at)) for column in self._columns]
        return _table(self._of, columns, statistic, position, values)


def _table(
    of: _Of,
    names: Sequence[pa.Array],  # quantity, output and input
    statistic: str,
    position: float | np.ndarray | None,
    values: np.ndarray,
) -> pa.Table:
    count = len(values)
    if isinstance(position, np.ndarray):
        positions = pa.array(position, pa.float64())
    else:
        positions = pa.repeat(pa.scalar(position, pa.float64()), count)
    by, group, statistics = (_repeated(text, count) for text in (*of, statistic))
    value = pa.array(np.asarray(values, np.float64))
    columns = [by, group, *names, statistics, positions, value]
    return pa.table(columns, schema=SUMMARY_SCHEMA)


def _repeated(text: str | None, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _quantiles(rows: RowStatistics, names: _Names) -> Iterator[pa.Table]:
    if not rows.shape.histograms:
        return
    low, high = rows.moments.ends()
    counted = (rows.histograms.of(at) for at in range(low.size))
    of_numbers = np.array([quantiles(*each, LEVELS) for each in counted])
    for level, values in zip(LEVELS, of_numbers.T, strict=True):
        # The middle of the lowest bin may lie beyond the lowest number.
        yield names.rows("quantile", np.clip(values, low, high), position=level)


def _bounds(
    rows: RowStatistics, names: _Names, moments: Mapping[str, np.ndarray]
) -> Iterator[pa.Table]:
    """Yield bounds of total Sobol indices, from mean squares of derivatives (DGSM).

    nu (b - a)^2 / (pi^2 V) for inputs that are uniform from a to b, and nu s^2 / V for normal ones
    of deviation s; nu is the mean of (dy/dx)^2, V the variance of y (Sobol' and Kucherenko, 2009).
    """
    numbers = rows.shape.numbers
    if not {"value", "jacobian"} <= numbers.slices.keys():
        return
    m, k = len(numbers.outputs), len(numbers.directions)
    variances = moments["deviation"][numbers.slices["value"]] ** 2
    mean_squares = moments["mean_square"][numbers.slices["jacobian"]].reshape(m, k)
    at = [numbers.inputs.index(name) for name in numbers.directions]
    low, high = rows.moments.ends()
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


def _curves(rows: RowStatistics, of: _Of) -> Iterator[pa.Table]:
    """Yield the means of value, Jacobian and Hessian diagonal over bins of each input."""
    numbers, bins = rows.shape.numbers, rows.shape.bins
    if not bins:
        return
    low, high = np.array(rows.shape.ranges, np.float64).reshape(-1, 2).T
    middles = low[:, None] + (np.arange(bins) + 0.5) * ((high - low) / bins)[:, None]
    direction, place = np.nonzero(rows.bin_rows)
    count, position = rows.bin_rows[direction, place], middles[direction, place]
    inputs = pa.array(numbers.directions, pa.string()).take(pa.array(direction))
    nothing, quantity = _repeated(None, count.size), _repeated(INPUT, count.size)
    yield _table(of, (quantity, nothing, inputs), "bin_count", position, count)
    sums = rows.curves.rounded().reshape(rows.shape.curves)
    for name, of_quantity in zip(numbers.curves, sums, strict=True):
        for output, curve in zip(numbers.outputs, of_quantity, strict=True):
            columns = _repeated(name, count.size), _repeated(output, count.size), inputs
            means = curve[direction, place] / count
            yield _table(of, columns, "curve_mean", position, means)
    yield from _bands(rows, of, middles)


def _bands(rows: RowStatistics, of: _Of, middles: np.ndarray) -> Iterator[pa.Table]:
    """Yield quantiles of a sample's rows in bins of each input, whose middles are (k, bins)."""
    numbers = rows.shape.numbers
    sample = rows.sample().numbers.astype(np.float64)
    places = rows.shape.bins_of(sample[:, : len(numbers.directions)].T)
    positions, bins = numbers.curve_positions, middles.shape[1]
    counts = [np.bincount(each, minlength=bins + 1)[:-1] for each in places]
    direction, place = np.nonzero(np.array(counts).reshape(-1, bins) >= _LEAST_ROWS)
    values = np.zeros((len(BANDS), *positions.shape[:2], direction.size))
    for at, (each, bin_) in enumerate(zip(direction, place, strict=True)):
        some = sample[places[each] == bin_][:, positions[:, :, each]]
        values[..., at] = _quantiles_within(some, [*BANDS.values()])
    inputs = pa.array(numbers.directions, pa.string()).take(pa.array(direction))
    position = middles[direction, place]
    for quantity, output in np.ndindex(positions.shape[:2]):
        names = numbers.curves[quantity], numbers.outputs[output]
        columns = *(_repeated(name, direction.size) for name in names), inputs
        for statistic, each in zip(BANDS, values[:, quantity, output], strict=True):
            yield _table(of, columns, statistic, position, each)


def _quantiles_within(numbers: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return quantiles (levels, ...) of finite numbers (rows, ...).

    Of the largest, too, whose differences are infinite.
    """
    scale = 0.25 if np.abs(numbers).max() > 1e300 else 1.0
    return np.quantile(scale * numbers, levels, axis=0) / scale


def _moments_of_groups(statistics: Statistics) -> Iterator[pa.Table]:
    """Yield statistics of groups that have no others, all groups' of one after the other's."""
    groups = statistics.moments
    if groups is None:
        return
    names = zip(*statistics.shape.numbers.names(), strict=True)
    each = pa.array(np.tile(np.arange(groups.numbers), len(groups.names)))
    group = pa.array(np.repeat(np.arange(len(groups.names)), groups.numbers))
    of_groups = pa.array(groups.names, pa.string()).take(group)
    columns = [pa.array(column, pa.string()).take(each) for column in names]
    for statistic, values in groups.statistics().items():
        table = _table(_Of(statistics.shape.by), columns, statistic, None, values.reshape(-1))
        yield table.set_column(1, SUMMARY_SCHEMA.field("group_name"), of_groups)


def extremes_table(statistics: Statistics) -> pa.Table:
    """Return the most extreme rows.

    Returns:
        Columns `grouped_by` and `group_name` (null of all rows), `quantity`, `output`, `input`
        (null for a value), `extreme` ("largest" or "smallest"), `rank` (from 1), `value`,
        `source_file`, `row_index` and `point`, a list of the n inputs.
    """
    parts = [_extremes(rows, of) for of, rows in _sets_of_rows(statistics)]
    return pa.concat_tables([_EXTREMES_SCHEMA.empty_table(), *parts]).combine_chunks()


def _extremes(rows: RowStatistics, of: _Of) -> pa.Table:
    numbers, extreme = rows.shape.numbers, rows.extreme
    lists = lists_of(numbers)
    if not lists:
        return _EXTREMES_SCHEMA.empty_table()
    at, rank = np.nonzero(np.isfinite(extreme.score))
    quantity, end, output = (pa.array(column, pa.string()) for column in zip(*lists, strict=True))
    direction = extreme.direction[at, rank]
    directions = pa.array([*numbers.directions, None], pa.string())  # None is at -1
    points = extreme.point[at, rank]
    starts = pa.array(np.arange(at.size + 1) * points.shape[1], pa.int32())
    columns = [
        *(_repeated(text, at.size) for text in of),
        *(column.take(pa.array(at)) for column in (quantity, output)),
        directions.take(pa.array(direction % len(directions))),
        end.take(pa.array(at)),
        pa.array(rank + 1),
        pa.array(extreme.value[at, rank].astype(np.float64)),
        pa.array(extreme.files, pa.string()).take(pa.array(extreme.file[at, rank])),
        pa.array(extreme.row[at, rank]),
        pa.ListArray.from_arrays(starts, pa.array(points.reshape(-1).astype(np.float64))),
    ]
    return pa.table(columns, schema=_EXTREMES_SCHEMA)
