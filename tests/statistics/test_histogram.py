"""Quantiles of counted bins, against those of the numbers themselves."""

import numpy as np
import pytest

from hyperdiag.statistics.counting import Counting
from hyperdiag.statistics.histogram import Histograms, quantiles

LEVELS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0)


def _histograms(*parts):
    """Count parts (numbers, rows), each as a shard of its own."""
    histograms = Histograms(parts[0].shape[0])
    for part in parts:
        counting = Counting(part.shape[0])
        for first in range(0, part.shape[1], 100):
            counting.add(0, np.ascontiguousarray(part[:, first : first + 100]))
        histograms.add(counting.counts())
    return histograms


def _of_many_kinds(rows, dtype):
    rng = np.random.default_rng(0)
    normal = rng.normal(size=rows)
    kinds = [
        normal,
        1e6 + normal,
        -np.exp(5 * normal),
        normal * 10.0 ** rng.integers(-30, 30, rows),
        np.maximum(normal, 0),
        np.zeros(rows),
        np.where(normal > 1, 3e38, -1e-37),
        rng.integers(-3, 4, rows),
    ]
    return np.array(kinds).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_quantiles_are_within_one_percent(dtype):
    numbers = _of_many_kinds(1000, dtype)
    histograms = _histograms(*np.array_split(numbers, 3, axis=1))
    for position, row in enumerate(numbers):
        values, counts = histograms.of(position)
        assert counts.sum() == row.size
        assert (np.diff(values) > 0).all()
        right = np.quantile(row.astype(np.float64), LEVELS, method="inverted_cdf")
        assert quantiles(values, counts, LEVELS) == pytest.approx(right, rel=0.008)


def test_float64_beyond_float32_counts_as_its_ends():
    values, counts = _histograms(np.array([[1e300, -1e300, 1e-300, 1.0]])).of(0)
    assert counts.tolist() == [1, 1, 1, 1]
    assert np.allclose(values, [-3.4e38, 0, 1, 3.4e38], rtol=0.01)


def test_bins_of_shards_add_up_in_any_order():
    parts = np.array_split(_of_many_kinds(300, "float32"), 5, axis=1)
    codes, counts = _histograms(*parts).counts()
    again, recounted = _histograms(*reversed(parts)).counts()
    assert np.array_equal(codes, again)
    assert np.array_equal(counts, recounted)
    assert counts.sum() == 300 * 8


def test_signs_are_exact_however_small_the_number():
    tiny = np.array([[1e-45, -1e-45, 0.0, -0.0, 1e-30, 2.0, -2.0]], np.float32)
    counting = Counting(1)
    counting.add(0, tiny)
    positive, negative = counting.signs(counting.counts())
    assert (positive.tolist(), negative.tolist()) == ([3], [2])
