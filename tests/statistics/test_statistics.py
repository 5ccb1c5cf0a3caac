"""Statistics of rows, gathered in shards and added up, against NumPy on all rows at once."""

from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

from hyperdiag.statistics.batch import Batch
from hyperdiag.statistics.numbers import RowNumbers
from hyperdiag.statistics.places import Places
from hyperdiag.statistics.shape import Shape
from hyperdiag.statistics.shard_statistics import ShardStatistics
from hyperdiag.statistics.table import LEVELS, extremes_table, summary_table
from tests.statistics.shards import (
    NUMBERS,
    ROWS,
    SHARDS,
    ends_of,
    rows_of,
    shape_of,
    shard_of,
    total_of,
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_statistic_is_numpys(dtype):
    points, arrays = rows_of(dtype)
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    columns = {("input", None, name): points[:, i] for i, name in enumerate("abc")}
    for quantity, array in arrays.items():
        for j, output in enumerate("uv"):
            if quantity == "value":
                columns[quantity, output, None] = array[:, j]
            else:
                for i, name in enumerate("ca"):
                    columns[quantity, output, name] = array[:, j, i]
    seen = 0
    for row in summary_table(total).to_pylist():
        column = columns.get((row["quantity"], row["output"], row["input"]))
        if row["statistic"].startswith(("curve", "bin_count", "total_index_bound")):
            continue
        x = column.astype(np.float64)
        right, tolerance = {
            "count": (x.size, 0),
            "mean": (x.mean(), 1e-13),
            "deviation": (x.std(), 1e-9),
            "mean_square": (np.mean(x**2), 1e-13),
            "minimum": (x.min(), 0),
            "maximum": (x.max(), 0),
            "positive": (np.mean(x > 0), 1e-15),
            "negative": (np.mean(x < 0), 1e-15),
            "quantile": (np.quantile(x, row["position"] or 0, method="inverted_cdf"), 0.008),
        }[row["statistic"]]
        assert row["value"] == pytest.approx(right, rel=tolerance, abs=0), row
        seen += 1
    assert seen == len(columns) * (8 + len(LEVELS))


def test_bounds_of_total_indices_are_those_of_the_literature():
    """Sobol' and Kucherenko 2009: nu (b - a)^2 / (pi^2 V), and nu s^2 / V for normal inputs."""
    points, arrays = rows_of("float64")
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, slice(0, ROWS))])
    found = {
        (row["output"], row["input"], row["statistic"]): row["value"]
        for row in summary_table(total).to_pylist()
        if "bound" in row["statistic"]
    }
    for j, output in enumerate("uv"):
        for i, name in enumerate("ca"):
            x = points[:, "abc".index(name)]
            part = np.mean(arrays["jacobian"][:, j, i] ** 2) / arrays["value"][:, j].var()
            uniform = part * np.ptp(x) ** 2 / np.pi**2
            assert found[output, name, "total_index_bound_uniform"] == pytest.approx(uniform)
            normal = part * x.var()
            assert found[output, name, "total_index_bound_normal"] == pytest.approx(normal)


def test_extreme_rows_are_the_first_of_all_rows_in_order():
    points, arrays = rows_of("float32")
    arrays["value"][[50, 400, 690], 0] = arrays["value"][:, 0].max() + 1  # the same, three times
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    table = extremes_table(total).to_pylist()
    widths = np.array([2.0, 2.0])
    for j, output in enumerate("uv"):
        jacobian = np.abs(arrays["jacobian"][:, j] * widths.astype("f4")).max(axis=1)
        second = np.abs(arrays["hessian_diag"][:, j] * np.square(widths).astype("f4")).max(axis=1)
        for quantity, end, scores in (
            ("value", "largest", arrays["value"][:, j]),
            ("value", "smallest", -arrays["value"][:, j]),
            ("jacobian", "largest", jacobian),
            ("hessian_diag", "largest", second),
        ):
            rows = [
                row
                for row in table
                if (row["quantity"], row["extreme"], row["output"]) == (quantity, end, output)
            ]
            right = np.lexsort((np.arange(ROWS), -scores))[:4]
            assert [row["row_index"] for row in rows] == right.tolist()
            assert [row["rank"] for row in rows] == [1, 2, 3, 4]
            for row, at in zip(rows, right, strict=True):
                assert row["point"] == points[at].tolist()
                if quantity == "value":
                    assert (row["input"], row["value"]) == (None, arrays["value"][at, j])
                else:
                    i = ["c", "a"].index(row["input"])
                    assert row["value"] == arrays[quantity][at, j, i]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_order_of_shards_and_what_was_added_up_before_are_not_seen(dtype):
    points, arrays = rows_of(dtype)
    parts = [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS]
    found = {total_of(shape_of(), order).to_bytes() for order in permutations(parts)}
    first, *rest = parts
    found.add(total_of(shape_of(), [first, total_of(shape_of(), rest).to_bytes()]).to_bytes())
    found.add(
        total_of(shape_of(), [total_of(shape_of(), parts[:2]).to_bytes(), parts[2]]).to_bytes()
    )
    assert len(found) == 1


@pytest.mark.parametrize(
    ("slopes", "least", "mean"),
    [
        ((-0.0, 0.0, -0.0), "0.0", "0.0"),
        # Of 300, 1 and 399 rows: the sum of two shards may be infinite, that of all is none.
        ((4e305, 1.2e308, -3e305), "-3e+305", "inf"),
    ],
)
def test_order_of_shards_is_not_seen_in_signs_of_zeros_nor_in_the_largest_sums(slopes, least, mean):
    points, arrays = rows_of("float64")
    shape = shape_of(by="desk", bins=0)
    parts = []
    for rows, slope in zip(SHARDS, slopes, strict=True):
        arrays["jacobian"][rows] = slope
        computed = {name: array[rows] for name, array in arrays.items()}
        places = Places.in_file("f.parquet", np.arange(rows.start, rows.stop))
        desks = pa.chunked_array([["fx"] * (rows.stop - rows.start)])
        shard = ShardStatistics(shape)
        with np.errstate(over="ignore"):
            batch = Batch.of(NUMBERS, points[rows], computed, ends_of(computed), places)
            shard.add(batch, desks)
        parts.append(shard.to_bytes())
    totals = [total_of(shape, order) for order in permutations(parts)]
    totals += [
        total_of(shape, [total_of(shape, (a, b)).to_bytes(), c]) for a, b, c in permutations(parts)
    ]
    tables = [summary_table(total).to_pylist() for total in totals]
    assert len({repr(table) for table in tables}) == 1  # that tells the sign of zero
    for group in (None, "fx"):
        found = {
            row["statistic"]: row["value"]
            for row in tables[0]
            if (row["quantity"], row["output"], row["input"]) == ("jacobian", "u", "c")
            and row["group_name"] == group
        }
        assert repr(found["minimum"]) == least
        assert repr(found["mean"]) == mean


def test_numbers_close_together_beside_their_size_keep_their_deviation():
    """As seconds since 1970 are, within an hour."""
    points, arrays = rows_of("float64")
    points[:, 0] = 1.7e9 + points[:, 0]
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    (found,) = (
        row["value"]
        for row in summary_table(total).to_pylist()
        if (row["quantity"], row["input"], row["statistic"]) == ("input", "a", "deviation")
    )
    assert found == pytest.approx((points[:, 0] - 1.7e9).std(), rel=1e-6)


def test_constant_numbers_have_no_deviation():
    points, arrays = rows_of("float32")
    arrays["value"][:, 1] = 0.1
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    (found,) = (
        row["value"]
        for row in summary_table(total).to_pylist()
        if (row["quantity"], row["output"], row["statistic"]) == ("value", "v", "deviation")
    )
    assert found == 0


def test_without_histograms_curves_and_extreme_rows_the_rest_is_the_same():
    points, arrays = rows_of("float32")
    shape = shape_of(bins=0, histograms=False, extreme_rows=0)
    total = total_of(shape, [shard_of(shape, points, arrays, rows) for rows in SHARDS])
    whole = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    left_out = ("quantile", "curve", "bin_count")
    kept = [r for r in summary_table(whole).to_pylist() if not r["statistic"].startswith(left_out)]
    assert summary_table(total).to_pylist() == kept
    assert extremes_table(total).num_rows == 0


def test_no_rows_have_no_statistics():
    for shape in (shape_of(), shape_of(by="desk")):
        total = total_of(shape, [ShardStatistics(shape).to_bytes()])
        total = total_of(shape, [total.to_bytes()])
        assert (summary_table(total).num_rows, extremes_table(total).num_rows) == (0, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_groups_of_small_and_large_numbers_do_not_spoil_each_other(dtype):
    """As an index at 40,000 beside an exchange rate at 1.1."""
    points, arrays = rows_of(dtype)
    names = np.where(np.arange(ROWS) % 3 == 0, "index", "rate")
    scale = np.where(names == "index", 4e4, 1.1)
    points = (scale[:, None] * (1 + 1e-4 * points)).astype(dtype)
    shape = shape_of(by="kind")
    parts = []
    for rows in SHARDS:
        shard = ShardStatistics(shape)
        computed = {name: array[rows] for name, array in arrays.items()}
        groups = pa.chunked_array([names[rows].tolist()])
        index = np.arange(rows.start, rows.stop)
        places = Places.in_file("f.parquet", index)
        shard.add(Batch.of(NUMBERS, points[rows], computed, ends_of(computed), places), groups)
        parts.append(shard.to_bytes())
    assert total_of(shape, parts).to_bytes() == total_of(shape, parts[::-1]).to_bytes()
    found = {
        (row["group_name"], row["statistic"]): row["value"]
        for row in summary_table(total_of(shape, parts)).to_pylist()
        if (row["grouped_by"], row["quantity"], row["input"]) == ("kind", "input", "b")
    }
    for name in ("index", "rate"):
        x = points[names == name, 1].astype(np.float64)
        assert found[name, "count"] == x.size
        assert found[name, "mean"] == pytest.approx(x.mean(), rel=1e-14)
        assert found[name, "mean_square"] == pytest.approx(np.mean(x**2), rel=1e-14)
        assert found[name, "deviation"] == pytest.approx(x.std(), rel=1e-9)
        assert found[name, "maximum"] == x.max()


def test_inputs_of_very_different_units_are_compared_all_the_same():
    """Densities of 1e19 beside lengths of 1e-4, in float32."""
    points, arrays = rows_of("float32")
    shape = Shape(NUMBERS, ((1e19, 1e20), (1e-4, 1e-3)), 5, 1, 1, True, 4)
    arrays["hessian_diag"] = arrays["hessian_diag"] * np.array([1e-38, 1e8], np.float32)
    total = total_of(shape, [shard_of(shape, points, arrays, slice(0, ROWS))])
    rows = [
        row["row_index"]
        for row in extremes_table(total).to_pylist()
        if (row["quantity"], row["output"]) == ("hessian_diag", "v")
    ]
    widths = np.array([9e19, 9e-4])
    scores = np.abs(arrays["hessian_diag"][:, 1].astype(np.float64) * widths**2).max(axis=1)
    assert rows == np.argsort(-scores, kind="stable")[:4].tolist()


def test_many_numbers_and_rows_are_looked_at_in_parts():
    """More numbers, and more rows of a batch, than are looked at together."""
    names = [f"x{i}" for i in range(37)]
    numbers = RowNumbers(names, ["u"], names, ["value", "jacobian"])
    shape = Shape(numbers, ((-1.0, 1.0),) * 37, 5, 1, 1, True, 4)
    rng = np.random.default_rng(3)
    rows = 8192 + 1000
    points = np.maximum(rng.normal(size=(rows, 37)), 0).astype("f4")
    arrays = {"value": rng.normal(size=(rows, 1)), "jacobian": rng.normal(size=(rows, 1, 37)) ** 9}
    shard = ShardStatistics(shape)
    for part in (slice(0, 10), slice(10, rows)):
        computed = {name: array[part].astype("f4") for name, array in arrays.items()}
        ends = {
            name: np.stack([a.min(axis=0), a.max(axis=0)])
            for name, a in ((n, c.reshape(len(c), 1, -1)) for n, c in computed.items())
        }
        index = np.arange(part.start, part.stop)
        places = Places.in_file("f.parquet", index)
        shard.add(Batch.of(numbers, points[part], computed, ends, places))
    seen = 0
    for row in summary_table(total_of(shape, [shard.to_bytes()])).to_pylist():
        if row["statistic"] in ("mean", "quantile", "positive"):
            i = names.index(row["input"] or "x0")
            x = {
                "input": points[:, i],
                "value": arrays["value"][:, 0],
                "jacobian": arrays["jacobian"][:, 0, i],
            }[row["quantity"]].astype("f4")
            right = {
                "mean": np.mean(x, dtype="f8"),
                "quantile": np.quantile(x, row["position"] or 0, method="inverted_cdf"),
                "positive": np.mean(x > 0),
            }[row["statistic"]]
            tolerance = 0.008 if row["statistic"] == "quantile" else 1e-12
            assert row["value"] == pytest.approx(right, rel=tolerance, abs=1e-15), row
            seen += 1
    assert seen == 75 * (2 + len(LEVELS))
