"""Curves against each input and their bands, against NumPy on all rows at once."""

from itertools import pairwise

import numpy as np
import pytest

from hyperdiag.statistics.places import Places
from hyperdiag.statistics.sampling import row_hashes, sampled
from hyperdiag.statistics.shape import Shape
from hyperdiag.statistics.table import BANDS, summary_table
from tests.statistics.shards import (
    NUMBERS,
    RANGES,
    ROWS,
    SHARDS,
    rows_of,
    shape_of,
    shard_of,
    total_of,
)


def test_curves_are_means_over_the_rows_of_each_bin():
    points, arrays = rows_of("float64")
    total = total_of(shape_of(), [shard_of(shape_of(), points, arrays, rows) for rows in SHARDS])
    found = {
        (row["quantity"], row["output"], row["input"], round(row["position"], 9)): row["value"]
        for row in summary_table(total).to_pylist()
        if row["statistic"] in ("curve_mean", "bin_count")
    }
    right = {}
    for i, (name, (low, high)) in enumerate(zip("ca", RANGES, strict=True)):
        x = points[:, "abc".index(name)]
        edges = np.linspace(low, high, 6)
        for left, end in pairwise(edges):
            rows, at = (x >= left) & (x < end), round((left + end) / 2, 9)
            right["input", None, name, at] = rows.sum()
            for j, output in enumerate("uv"):
                right["value", output, name, at] = arrays["value"][rows, j].mean()
                for quantity in ("jacobian", "hessian_diag"):
                    right[quantity, output, name, at] = arrays[quantity][rows, j, i].mean()
    assert found == pytest.approx(right, rel=1e-12)


def test_bands_are_quantiles_of_the_sample_in_each_bin():
    points, arrays = rows_of("float32")
    shape = shape_of(sample_step=2)
    total = total_of(shape, [shard_of(shape, points, arrays, rows) for rows in SHARDS])
    index = np.arange(ROWS)
    sample = sampled(row_hashes(Places.in_file("f.parquet", index)), 2)
    assert 0.4 * ROWS < sample.size < 0.6 * ROWS
    right = {}
    for i, (name, (low, high)) in enumerate(zip("ca", RANGES, strict=True)):
        x = points[sample, "abc".index(name)]
        for left, end in pairwise(np.linspace(low, high, 6)):
            rows, at = sample[(x >= left) & (x < end)], round((left + end) / 2, 9)
            if rows.size < 10:
                continue
            for statistic, level in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
                key = f"curve_{statistic}", name, at
                for j, output in enumerate("uv"):
                    value = arrays["value"][rows, j].astype(np.float64)
                    right["value", output, *key] = np.quantile(value, level)
                    for quantity in ("jacobian", "hessian_diag"):
                        numbers = arrays[quantity][rows, j, i].astype(np.float64)
                        right[quantity, output, *key] = np.quantile(numbers, level)
    seen = {
        (
            row["quantity"],
            row["output"],
            row["statistic"],
            row["input"],
            round(row["position"], 9),
        ): (row["value"])
        for row in summary_table(total).to_pylist()
        if row["statistic"] in BANDS
    }
    assert len(seen) > 100
    assert seen == pytest.approx(right, rel=1e-12)


def test_bins_with_hardly_any_rows_of_a_sample_have_no_bands():
    points, arrays = rows_of("float32")
    shape = shape_of()
    total = total_of(shape, [shard_of(shape, points, arrays, slice(0, 9))])
    statistics = set(summary_table(total)["statistic"].to_pylist())
    assert "curve_mean" in statistics
    assert not statistics & BANDS.keys()


def test_curves_of_many_rows_are_of_a_sample_whatever_the_shards():
    points, arrays = rows_of("float64")
    shape = shape_of(curve_step=8, sample_step=32)
    total = total_of(shape, [shard_of(shape, points, arrays, rows) for rows in SHARDS])
    chosen = sampled(row_hashes(Places.in_file("f.parquet", np.arange(ROWS))), 8)
    inside = (points[chosen, 2] >= -1) & (points[chosen, 2] < 1)
    assert total.all_rows().bin_rows[0].sum() == inside.sum()
    assert total.all_rows().moments.rows == ROWS
    again = total_of(shape, [shard_of(shape, points, arrays, slice(0, ROWS), batch=350)])
    assert np.array_equal(again.all_rows().sample().numbers, total.all_rows().sample().numbers)
    assert np.array_equal(again.all_rows().bin_rows, total.all_rows().bin_rows)


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_hardly_any_have_curves_too():
    points, arrays = rows_of("float64")
    points = np.abs(points) * 1e-310
    shape = Shape(NUMBERS, ((0.0, 1e-310), (0.0, 2e-310)), 5, 1, 1, True, 4)
    total = total_of(shape, [shard_of(shape, points, arrays, slice(0, ROWS))])
    assert total.all_rows().bin_rows[0].sum() == np.count_nonzero(points[:, 2] <= 1e-310)
