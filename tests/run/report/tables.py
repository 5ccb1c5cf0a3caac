"""Summaries and extreme rows of an output, computed from all of its data with DuckDB."""

import math

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BINS = 12
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("group", "quantity", "output", "input", "statistic")),
        *((name, pa.float64()) for name in ("at", "value")),
    ]
)


def column(quantity, output, name=None):
    """The column of the wide layout, quoted; names here have no underscores that are escaped."""
    text = {
        "input": name,
        "value": output,
        "jacobian": f"d_{output}__d_{name}",
        "hessian_diag": f"d2_{output}__d2_{name}",
    }[quantity]
    return '"' + text.replace('"', '""') + '"'


def is_group(by, group):
    """The condition that a row is of a group."""
    text = group.replace("'", "''")
    return f"\"{by}\" = '{text}'"


class Data:
    """The data files of an output.

    Args:
        folder: the output.
        outputs, inputs: names of the network's.
    """

    def __init__(self, folder, outputs, inputs):
        self.folder, self.outputs, self.inputs = folder, outputs, inputs
        self._source = f"read_parquet('{folder}/data/*.parquet')"

    def query(self, what, where="true"):
        """Return the rows of a query."""
        return duckdb.sql(f"SELECT {what} FROM {self._source} WHERE {where}").fetchall()

    def numbers(self, column, where="true", quantiles=True):
        """Return the statistics of a column, {(statistic, at): value}."""
        x = f"{column}::DOUBLE"
        parts = {
            "count": f"count({x})::DOUBLE",
            "mean": f"avg({x})",
            "deviation": f"stddev_pop({x})",
            "mean_square": f"avg({x} * {x})",
            "minimum": f"min({x})",
            "maximum": f"max({x})",
            "positive": f"avg(({x} > 0)::DOUBLE)",
            "negative": f"avg(({x} < 0)::DOUBLE)",
        }
        many = f", quantile_cont({x}, {list(QUANTILES)})" if quantiles else ""
        (row,) = self.query(", ".join(parts.values()) + many, where)
        named = {(name, None): value for name, value in zip(parts, row, strict=False)}
        if quantiles:
            named |= {("quantile", at): x for at, x in zip(QUANTILES, row[-1], strict=True)}
        return named

    def curve(self, column, name):
        """Return the centres of bins of an input, and the means of a column and counts in them."""
        x = column_of_input = f'"{name}"::DOUBLE'
        ((low, high),) = self.query(f"min({column_of_input}), max({column_of_input})")
        width = (high - low) / BINS
        bin_of = f"least(floor(({x} - {low!r}) / {width!r}), {BINS - 1})"
        rows = self.query(
            f"{low!r} + {width!r} * ({bin_of} + 0.5), avg({column}::DOUBLE), count(*)",
            "true GROUP BY 1 ORDER BY 1",
        )
        return [list(each) for each in zip(*rows, strict=True)]

    def pairs(self):
        """Yield quantity, output and input of each column of numbers."""
        for output in self.outputs:
            yield "value", output, None
        for quantity in ("jacobian", "hessian_diag"):
            for output in self.outputs:
                for name in self.inputs:
                    yield quantity, output, name


def write_tables(data, by=None, extremes=5):
    """Write `run/summary.parquet` and `run/extremes.parquet` of an output.

    Args:
        data: the output's.
        by: the column that rows are grouped by.
        extremes: rows of each kind.
    """
    rows = []

    def add(group, quantity, output, name, numbers):
        for (statistic, at), value in numbers.items():
            rows.append((group, quantity, output, name, statistic, at, value))

    groups = [g for (g,) in data.query(f'DISTINCT "{by}"', "true ORDER BY 1")] if by else []
    for name in data.inputs:
        add(None, "input", None, name, data.numbers(column("input", None, name)))
        at, _, counts = data.curve(column("input", None, name), name)
        for x, count in zip(at, counts, strict=True):
            rows.append((None, "input", None, name, "bin_count", x, float(count)))
    for quantity, output, name in data.pairs():
        this = column(quantity, output, name)
        add(None, quantity, output, name, data.numbers(this))
        for group in groups:
            where = is_group(by, group)
            add(group, quantity, output, name, data.numbers(this, where, quantiles=False))
        for of in [name] if name else data.inputs:
            at, means, _ = data.curve(this, of)
            for x, mean in zip(at, means, strict=True):
                rows.append((None, quantity, output, of, "curve_mean", x, mean))
        if quantity == "jacobian":
            add(None, quantity, output, name, bounds(data, output, name))
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, _SCHEMA), data.folder / "run/summary.parquet")
    write_extremes(data, extremes)


def bounds(data, output, name):
    """Bounds of an input's total Sobol index."""
    x = data.numbers(column("input", None, name))
    square = data.numbers(column("jacobian", output, name))["mean_square", None]
    variance = data.numbers(column("value", output))["deviation", None] ** 2
    width = x["maximum", None] - x["minimum", None]
    return {
        ("total_index_bound_uniform", None): square * width**2 / (math.pi**2 * variance),
        ("total_index_bound_normal", None): square * x["deviation", None] ** 2 / variance,
    }


def extreme_rows(data, output, quantity, end, most):
    """Return value, input, source file, row index and point of the most extreme rows."""
    names = [None] if quantity == "value" else data.inputs
    point = ", ".join(f'"{name}"::DOUBLE' for name in data.inputs)
    found = []
    for name in names:
        this = column(quantity, output, name)
        what = f"{this}::DOUBLE, _source_file, _row_index, [{point}]"
        found += [(row[0], name, *row[1:]) for row in data.query(what)]
    found.sort(key=lambda row: abs(row[0]) if quantity != "value" else row[0])
    return found[:most] if end == "smallest" else found[::-1][:most]


def write_extremes(data, most):
    rows = [
        (quantity, output, name, end, rank, value, file, index, point)
        for output in data.outputs
        for quantity, end in (
            *(("value", "largest"), ("value", "smallest")),
            *(("jacobian", "largest"), ("hessian_diag", "largest")),
        )
        for rank, (value, name, file, index, point) in enumerate(
            extreme_rows(data, output, quantity, end, most), 1
        )
    ]
    names = ["quantity", "output", "input", "end", "rank", "value", "source_file", "row_index"]
    columns = dict(zip([*names, "point"], map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), data.folder / "run/extremes.parquet")
