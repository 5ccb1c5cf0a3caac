"""What DuckDB makes of all the rows of an output."""

import math

import duckdb

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BINS = 20


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
    """The condition that a row is of a group, as a report names it."""
    if group == "(no value)":
        return f'"{by}" IS NULL'
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
        x = f"{column}::FLOAT::DOUBLE"  # as the network takes it, and gives it
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
        many = f", quantile_disc({x}, {list(QUANTILES)})" if quantiles else ""
        (row,) = self.query(", ".join(parts.values()) + many, where)
        named = {(name, None): value for name, value in zip(parts, row, strict=False)}
        if quantiles:
            named |= {("quantile", at): x for at, x in zip(QUANTILES, row[-1], strict=True)}
        return named

    def errors(self, column, where="true"):
        """Return the standard error of a column's mean, and two of its root mean square.

        The second of these follows from the mean of fourth powers, the first is at least as large.
        """
        x = f"{column}::FLOAT::DOUBLE"
        square = f"({x} * {x})"
        (row,) = self.query(
            f"stddev_samp({x}) / sqrt(count({x})), "
            f"sqrt((max({square}) - avg({square})) / (count({x}) - 1)) / 2, "
            f"stddev_samp({square}) / sqrt(count({x})) / (2 * sqrt(avg({square})))",
            where,
        )
        return row

    def curve(self, column, name, low, high, where="true"):
        """Return the centres of bins of an input's range, and the means of a column and counts."""
        x, width = f'"{name}"::FLOAT::DOUBLE', (high - low) / BINS
        rows = self.query(
            f"{low!r} + {width!r} * (least(floor(({x} - {low!r}) / {width!r}), {BINS - 1}) + 0.5), "
            f"avg({column}::DOUBLE), count(*)",
            f"{x} BETWEEN {low!r} AND {high!r} AND {where} GROUP BY 1 ORDER BY 1",
        )
        return [list(each) for each in zip(*rows, strict=True)]


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
