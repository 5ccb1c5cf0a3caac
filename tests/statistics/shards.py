"""Rows drawn at random, their statistics as those of shards, and these added up."""

import numpy as np

from hyperdiag.statistics.batch import Batch
from hyperdiag.statistics.numbers import RowNumbers
from hyperdiag.statistics.places import Places
from hyperdiag.statistics.shape import Shape
from hyperdiag.statistics.shard_statistics import ShardStatistics
from hyperdiag.statistics.statistics import Statistics

ROWS, N, M = 700, 3, 2
NUMBERS = RowNumbers(["a", "b", "c"], ["u", "v"], ["c", "a"], ["value", "jacobian", "hessian_diag"])
RANGES = ((-1.0, 1.0), (0.0, 2.0))  # of c and a; some rows lie outside


def shape_of(**changes):
    options = {"bins": 5, "curve_step": 1, "sample_step": 1, "histograms": True, "extreme_rows": 4}
    return Shape(NUMBERS, RANGES, **(options | changes))


def rows_of(dtype, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(ROWS, N))
    arrays = {
        "value": rng.normal(size=(ROWS, M)) * [1.0, 1e-9] + [1e6, 0.0],
        "jacobian": rng.normal(size=(ROWS, M, 2)) ** 3,
        "hessian_diag": np.maximum(rng.normal(size=(ROWS, M, 2)), 0.0),
    }
    return points.astype(dtype), {name: array.astype(dtype) for name, array in arrays.items()}


def ends_of(arrays):
    shaped = {name: array.reshape(len(array), M, -1) for name, array in arrays.items()}
    return {name: np.stack([a.min(axis=0), a.max(axis=0)]) for name, a in shaped.items()}


def shard_of(shape, points, arrays, rows, batch=97):
    """Return the statistics of some rows as a shard's, some batches laid out rows last."""
    shard = ShardStatistics(shape)
    for number, first in enumerate(range(rows.start, rows.stop, batch)):
        part = slice(first, min(first + batch, rows.stop))
        computed = {name: array[part] for name, array in arrays.items()}
        if number % 2:
            computed = {
                name: np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
                for name, array in computed.items()
            }
        index = np.arange(part.start, part.stop)
        places = Places.in_file("f.parquet", index)
        shard.add(Batch.of(shape.numbers, points[part], computed, ends_of(computed), places))
    return shard.to_bytes()


def total_of(shape, parts):
    total = Statistics(shape)
    for part in parts:
        total.add(part)
    return total


SHARDS = [slice(0, 300), slice(300, 301), slice(301, 700)]
