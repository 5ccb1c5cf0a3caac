"""Statistics of groups: of a few all that there is of all rows, of many counts, sums and ends."""

from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

from hyperdiag.statistics import group_names
from hyperdiag.statistics.batch import Batch
from hyperdiag.statistics.packed import is_packed
from hyperdiag.statistics.places import Places
from hyperdiag.statistics.shard_statistics import ShardStatistics
from hyperdiag.statistics.table import LEVELS, extremes_table, summary_table
from tests.statistics.shards import NUMBERS, ROWS, SHARDS, ends_of, rows_of, shape_of, total_of

OF_MOMENTS = {
    "count",
    "mean",
    "deviation",
    "mean_square",
    "minimum",
    "maximum",
    "positive",
    "negative",
}


def shard_of_groups(shape, points, arrays, desks, rows, batch=97):
    """Return the statistics of some rows as a shard's, `desks` being the group of each row."""
    shard = ShardStatistics(shape)
    for first in range(rows.start, rows.stop, batch):
        part = slice(first, min(first + batch, rows.stop))
        computed = {name: array[part] for name, array in arrays.items()}
        places = Places.in_file("f.parquet", np.arange(part.start, part.stop))
        whole = Batch.of(NUMBERS, points[part], computed, ends_of(computed), places)
        shard.add(whole, pa.chunked_array([desks[part]], pa.string()))
    return shard.to_bytes()


def desks_of(names, seed=1):
    """Return the group of each row, the later of which first come late."""
    rng = np.random.default_rng(seed)
    most = np.minimum(len(names), 1 + np.arange(ROWS) * len(names) // (ROWS // 2))
    return [names[at] for at in rng.integers(most)]


def without_group(table, group):
    """Return the rows of a group, or of all rows, as if they were of all."""
    return [
        row | {"grouped_by": None, "group_name": None}
        for row in table.to_pylist()
        if (row["grouped_by"], row["group_name"]) == group
    ]


def keyed(rows):
    """Return the values of a summary table's rows, by all else."""
    return {tuple(v for k, v in row.items() if k != "value"): row["value"] for row in rows}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_few_groups_have_all_that_their_rows_alone_have(dtype):
    points, arrays = rows_of(dtype)
    names = ["fx", None, "rates"]
    desks = desks_of(names)
    shape = shape_of(by="desk")
    total = total_of(shape, [shard_of_groups(shape, points, arrays, desks, r) for r in SHARDS])
    summary, extremes = summary_table(total), extremes_table(total)
    alone = {name: [at for at, desk in enumerate(desks) if desk == name] for name in names}
    for group, chosen in [((None, None), range(ROWS)), *((("desk", n), alone[n]) for n in names)]:
        chosen = np.array(chosen)
        shard = ShardStatistics(shape_of())
        computed = {name: array[chosen] for name, array in arrays.items()}
        places = Places.in_file("f.parquet", chosen)
        shard.add(Batch.of(NUMBERS, points[chosen], computed, ends_of(computed), places))
        right = total_of(shape_of(), [shard.to_bytes()])
        found = keyed(without_group(summary, group))
        wanted = keyed(summary_table(right).to_pylist())
        assert found.keys() == wanted.keys()
        assert OF_MOMENTS | {"quantile", "curve_mean", "curve_median"} <= {key[5] for key in found}
        for key, value in found.items():
            # Of 1e6 with a deviation of 1, float64 sums of squares leave nine digits.
            assert value == pytest.approx(wanted[key], rel=1e-9, abs=1e-12), key
        assert without_group(extremes, group) == extremes_table(right).to_pylist()


def test_quantiles_of_groups_are_numpys():
    points, arrays = rows_of("float64")
    desks = desks_of(["a", "b", "c", "d"])
    shape = shape_of(by="desk")
    total = total_of(shape, [shard_of_groups(shape, points, arrays, desks, r) for r in SHARDS])
    seen = 0
    for row in summary_table(total).to_pylist():
        if row["statistic"] == "quantile" and row["group_name"] and row["quantity"] == "jacobian":
            rows = np.array([desk == row["group_name"] for desk in desks])
            j, i = "uv".index(row["output"]), "ca".index(row["input"])
            x = arrays["jacobian"][rows, j, i]
            right = np.quantile(x, row["position"], method="inverted_cdf")
            assert row["value"] == pytest.approx(right, rel=0.008)
            seen += 1
    assert seen == 4 * 2 * 2 * len(LEVELS)


@pytest.mark.parametrize("most", [1, 3, 6])
def test_more_groups_have_counts_sums_and_ends_whatever_the_order(most, monkeypatch):
    """Too many of a shard, from some row on; or of two shards, or three, together."""
    monkeypatch.setattr(group_names, "_MOST_COMPLETE", most)
    points, arrays = rows_of("float64")
    names = [f"desk {number}" for number in range(7)]
    desks = desks_of(names)
    shape = shape_of(by="desk")
    parts = [shard_of_groups(shape, points, arrays, desks, rows) for rows in SHARDS]
    totals = [total_of(shape, order) for order in permutations(parts)]
    totals += [
        total_of(shape, [total_of(shape, (a, b)).to_bytes(), c]) for a, b, c in permutations(parts)
    ]
    assert len({total.to_bytes() for total in totals}) == 1
    tables = [(summary_table(total), extremes_table(total)) for total in totals]
    assert all(a == tables[0][0] and b == tables[0][1] for a, b in tables)
    summary, extremes = tables[0]
    right = total_of(shape_of(), [shard_of_groups(shape, points, arrays, desks, slice(0, ROWS))])
    found = keyed(without_group(summary, (None, None)))
    wanted = keyed(without_group(summary_table(right), (None, None)))
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert extremes == extremes_table(right).filter(pa.compute.field("group_name").is_null())
    for name in names:
        of_group = without_group(summary, ("desk", name))
        assert {row["statistic"] for row in of_group} == OF_MOMENTS
        rows = np.array([desk == name for desk in desks])
        for row in of_group:
            if (row["quantity"], row["input"]) == ("input", "b"):
                x = points[rows, 1]
                numbers = {
                    "count": x.size,
                    "mean": x.mean(),
                    "deviation": x.std(),
                    "minimum": x.min(),
                    "maximum": x.max(),
                    "mean_square": np.mean(x**2),
                    "positive": np.mean(x > 0),
                    "negative": np.mean(x < 0),
                }
                assert row["value"] == pytest.approx(numbers[row["statistic"]], rel=1e-11)


def test_names_that_are_not_utf8_may_look_the_same_and_lose_no_row():
    points, arrays = rows_of("float64")
    shape = shape_of(by="desk")
    shard = ShardStatistics(shape)
    places = Places.in_file("f.parquet", np.arange(ROWS))
    broken = pa.array([b"\xff", rb"\xff"] * (ROWS // 2), pa.binary()).view(pa.string())
    batch = Batch.of(NUMBERS, points, arrays, ends_of(arrays), places)
    shard.add(batch, pa.chunked_array([broken]))
    table = summary_table(total_of(shape, [shard.to_bytes()]))
    counts = {
        (row["group_name"], row["value"])
        for row in table.to_pylist()
        if row["statistic"] == "count"
    }
    assert counts == {(None, ROWS), (r"\xff", ROWS)}


@pytest.mark.parametrize("by", [None, "desk"])
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_of_equal_rows_the_first_are_kept_in_whatever_order_they_come(by, batch):
    """As those of a quarantine that was sorted by something else."""
    shape = shape_of(by=by, extreme_rows=2)
    points, arrays = rows_of("float64")
    arrays = {name: np.zeros_like(array[:8]) for name, array in arrays.items()}
    places = np.array([5, 9, 2, 7, 3, 1, 8, 0])
    shard = ShardStatistics(shape)
    for first in range(0, 8, batch):
        part = slice(first, first + batch)
        computed = {name: array[part] for name, array in arrays.items()}
        place = Places.in_file("f.parquet", places[part])
        whole = Batch.of(NUMBERS, points[part], computed, ends_of(computed), place)
        shard.add(whole, pa.chunked_array([["x"] * batch]) if by else None)
    table = extremes_table(total_of(shape, [shard.to_bytes()]))
    rows = {(row["group_name"], row["row_index"]) for row in table.to_pylist()}
    assert rows == {(group, at) for group in {None, by and "x"} for at in (0, 1)}


def test_fewer_groups_have_all_statistics_where_these_are_large():
    """A hundred and more megabytes of all groups together."""
    few, many = (
        group_names.most_complete_groups(shape)
        for shape in (shape_of(bins=1000, extreme_rows=100_000), shape_of(bins=20))
    )
    assert 0 < few < 20
    assert many == 64


def test_statistics_of_another_release_are_none():
    points, arrays = rows_of("float64")
    shape = shape_of(by="desk")
    content = shard_of_groups(shape, points, arrays, desks_of(["a"]), slice(0, 9))
    assert is_packed(content)
    former = content[4:]
    assert not is_packed(former)
    with pytest.raises(ValueError, match="those of another release"):
        total_of(shape, [former])


def test_sums_that_are_infinite_are_the_same_bytes_again():
    points, arrays = rows_of("float64")
    shape = shape_of(by="desk")
    for size in (1e154, 1e300, 1.7e308):
        large = {name: array / np.abs(array).max() * size for name, array in arrays.items()}
        parts = [shard_of_groups(shape, points, large, desks_of("ab"), r) for r in SHARDS]
        first = total_of(shape, parts).to_bytes()
        assert total_of(shape, [first]).to_bytes() == first
        nested = [total_of(shape, parts[1:]).to_bytes(), parts[0]]
        assert total_of(shape, nested).to_bytes() == first


def test_rows_wait_for_others_of_their_group_and_none_is_left(monkeypatch):
    """Sorted when there are enough, and at the end."""
    points, arrays = rows_of("float32")
    desks = desks_of(["a", "b"])
    shape = shape_of(by="desk")
    whole = shard_of_groups(shape, points, arrays, desks, slice(0, ROWS))
    monkeypatch.setattr("hyperdiag.statistics.shard_statistics._ROWS", 200)
    parts = shard_of_groups(shape, points, arrays, desks, slice(0, ROWS))
    rows = [
        {
            key: value
            for key, value in keyed(summary_table(total_of(shape, [part])).to_pylist()).items()
            if key[5] in ("count", "quantile", "minimum", "bin_count", "curve_median")
        }
        for part in (whole, parts)
    ]
    assert rows[0] == rows[1]
