import itertools
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

from hyperdiag.data.design import SAMPLERS, DesignSource, grid_rows, latin_hypercube
from hyperdiag.data.shard import Shard

BOX = {"a": (0.0, 1.0), "b": (-5.0, 110.0), "c": (1e-14, 150.0)}
LEVELS = {"a": 10, "b": 4, "c": 25}
ROWS = 1000


def _source(**changes):
    options = {
        "ranges": BOX,
        "sampler": "sobol",
        "rows": ROWS,
        "seed": 7,
        "levels": LEVELS,
        "limit": None,
        "dtype": "float64",
        "shard_rows": ROWS,
    }
    return DesignSource(**{**options, **changes})


def _read(source, batch_rows=ROWS):
    """The design's points (rows, columns), their indexes, and the sizes of the batches."""
    batches = [rows for shard in source.shards() for rows in source.read(shard, batch_rows)]
    assert all(rows.filtered == 0 for rows in batches)
    table = pa.concat_tables([rows.table for rows in batches])
    points = np.stack([column.to_numpy() for column in table.columns], axis=1)
    index = [i for rows in batches for i in rows.index.to_pylist()]
    return points, index, [rows.table.num_rows for rows in batches]


def test_sobol_any_seed_is_scipys_scrambled_sequence():
    for seed in (0, 7, 2**62):
        unit = qmc.Sobol(3, scramble=True, bits=32, rng=seed).random(1024)
        points, _, _ = _read(_source(rows=1024, seed=seed))
        np.testing.assert_array_equal(points[:, 0], unit[:, 0])  # its range is [0, 1]
        low, high = np.array(list(BOX.values())).T
        expected = qmc.scale(unit, low, high)
        assert (np.abs(points - expected) <= 4 * np.spacing(np.abs([low, high]).max(0))).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_sobol_any_number_of_rows_starts_the_same_sequence_without_a_warning(rows):
    unit = qmc.Sobol(3, scramble=True, bits=32, rng=7).random(1024)
    np.testing.assert_array_equal(_read(_source(rows=rows))[0][:, 0], unit[:rows, 0])


@pytest.mark.parametrize("first", [1, 2, 2**22, 2**22 + 12_345])
def test_sobol_far_down_is_where_scipy_walks_to(first):
    walked = qmc.Sobol(3, scramble=True, bits=32, rng=7).fast_forward(first).random(16)
    source = _source(rows=2**32)
    (rows,) = source.read(Shard(5, None, 0, 0, first, 16), 16)
    np.testing.assert_array_equal(rows.table["a"].to_numpy(), walked[:, 0])
    assert rows.index.to_pylist() == list(range(first, first + 16))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=25)
@given(shard_rows=st.integers(1, 1200), batch_rows=st.integers(1, 1200))
def test_read_any_shards_and_batches_gives_the_points_of_one(sampler, shard_rows, batch_rows):
    whole, index, _ = _read(_source(sampler=sampler))
    points, split_index, sizes = _read(_source(sampler=sampler, shard_rows=shard_rows), batch_rows)
    np.testing.assert_array_equal(points, whole)
    assert split_index == index == list(range(ROWS))
    assert max(sizes) <= batch_rows


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_read_limited_gives_the_first_points_of_the_whole_design(sampler):
    whole, _, _ = _read(_source(sampler=sampler))
    points, index, _ = _read(_source(sampler=sampler, limit=377, shard_rows=100), 64)
    np.testing.assert_array_equal(points, whole[:377])
    assert index == list(range(377))


def test_shards_of_a_design_are_runs_of_rows_without_row_groups():
    shards = list(_source(shard_rows=300, limit=700).shards())
    assert [tuple(shard) for shard in shards] == [
        (0, None, 0, 0, 0, 300),
        (1, None, 0, 0, 300, 300),
        (2, None, 0, 0, 600, 100),
    ]
    assert len(list(_source(shard_rows=300, limit=10**9).shards())) == 4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_read_float32_is_float64_rounded_once(sampler):
    exact, _, _ = _read(_source(sampler=sampler))
    points, _, _ = _read(_source(sampler=sampler, dtype="float32"))
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, exact.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_schema_and_file_name_of_a_design_tell_its_columns_and_sampler(dtype):
    source = _source(sampler="grid", dtype=dtype)
    kind = {"float32": pa.float32(), "float64": pa.float64()}[dtype]
    (shard,) = source.shards()
    (rows,) = source.read(shard, ROWS)
    assert source.schema == rows.table.schema == pa.schema([(name, kind) for name in "abc"])
    assert rows.index.type == pa.int64()
    assert source.file_name(shard) == "design:grid"


@pytest.mark.parametrize("sampler", ["sobol", "latin_hypercube"])
def test_read_another_seed_gives_other_points_inside_the_box(sampler):
    one, _, _ = _read(_source(sampler=sampler, seed=1))
    other, _, _ = _read(_source(sampler=sampler, seed=2))
    assert np.isclose(one, other, rtol=1e-9, atol=0).mean() < 0.01
    low, high = np.array(list(BOX.values())).T
    assert ((one >= low) & (one <= high)).all()


@given(rows=st.integers(1, 3000), columns=st.integers(1, 4), seed=st.integers(0, 2**63 - 1))
def test_latin_hypercube_any_size_has_one_point_in_each_slice_of_each_column(rows, columns, seed):
    points = latin_hypercube(np.arange(rows), rows, columns, seed)
    assert points.shape == (rows, columns)
    assert ((points >= 0) & (points < 1)).all()
    slices = np.sort(np.floor(points * rows), axis=0)
    np.testing.assert_array_equal(slices, np.tile(np.arange(rows)[:, None], columns))


@pytest.mark.slow
def test_latin_hypercube_over_seeds_draws_every_permutation_equally_often():
    orders = [
        tuple(np.floor(latin_hypercube(np.arange(3), 3, 2, seed) * 3).astype(int).T.ravel())
        for seed in range(3600)
    ]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 36  # six orders of one column with six of the other
    assert stats.chisquare(counts).pvalue > 1e-3


def test_latin_hypercube_places_are_uniform_in_their_slices_and_columns_unrelated():
    rows = 20_000
    points = latin_hypercube(np.arange(rows), rows, 3, 5)
    within = points * rows % 1
    for column in range(3):
        assert stats.kstest(within[:, column], "uniform").pvalue > 1e-3
    related = np.corrcoef(np.hstack([points, within, np.arange(rows)[:, None]]).T)
    assert np.abs(related - np.eye(7)).max() < 4 / np.sqrt(rows)


def test_latin_hypercube_of_a_trillion_rows_makes_any_row_from_its_index():
    rows = 10**12
    index = np.concatenate([np.arange(1000), np.arange(rows - 1000, rows)])
    points = latin_hypercube(index, rows, 2, 3)
    assert ((points >= 0) & (points < 1)).all()
    for column in points.T:
        assert np.unique(np.floor(column * rows)).size == index.size
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_grid_is_the_product_of_equidistant_levels_the_last_column_fastest():
    levels = {"a": 2, "b": 1, "c": 4}
    points, _, _ = _read(_source(sampler="grid", rows=8, levels=levels, shard_rows=3), 2)
    assert grid_rows(levels) == 8
    sides = [(0.0, 1.0), (-5.0,), np.linspace(1e-14, 150.0, 4)]
    np.testing.assert_allclose(points, list(itertools.product(*sides)), rtol=1e-15, atol=0)


def test_grid_levels_end_exactly_where_the_ranges_end():
    ends = [(-0.54, 7.51), (-0.92, 7.69), (0.1, 0.7)]
    box = dict(zip("abc", ends, strict=True))
    points, _, _ = _read(_source(sampler="grid", ranges=box, rows=8, levels=dict.fromkeys(box, 2)))
    np.testing.assert_array_equal(points, list(itertools.product(*ends)))


def test_grid_of_more_columns_than_an_array_has_dimensions_is_made():
    box = {f"x{i}": (0.0, 1.0) for i in range(70)}
    levels = dict.fromkeys(box, 1) | {"x0": 2, "x69": 3}
    points, _, _ = _read(_source(sampler="grid", ranges=box, rows=6, levels=levels))
    np.testing.assert_array_equal(points[:, 0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(points[:, 69], [0, 0.5, 1, 0, 0.5, 1])


def test_read_a_box_as_wide_as_floats_go_has_finite_points_at_both_sides():
    for sampler in SAMPLERS:
        box = {"a": (-1.7e308, 1.7e308)}
        points, _, _ = _read(_source(sampler=sampler, ranges=box, rows=64, levels={"a": 64}))
        assert np.isfinite(points).all()
        assert points.min() < -1e308 < 1e308 < points.max()


@pytest.mark.slow
def test_library_of_sobol_points_is_loaded_when_warm_and_not_before():
    script = (
        "import sys; from hyperdiag.data.design import DesignSource;"
        "source = DesignSource({'a': (0, 1)}, 'sobol', 1, 0, {}, None, 'float32', 1);"
        "before = 'scipy.stats' in sys.modules; source.warm_up();"
        "print(before, 'scipy.stats' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False True\n"
