import numpy as np
import pytest

from hyperdiag.bench import peak
from hyperdiag.bench.peak import (
    dense_multiply_adds,
    least_bytes,
    matmul_peak,
    memory_peak,
    unfused_bytes,
)


@pytest.mark.parametrize(
    ("widths", "value", "jacobian", "forward", "adjoint"),
    [
        # One hidden layer: products of 6 and 3; delta is W_2, so the adjoint only contracts.
        ((2, 3, 1), 6 + 3, 2 * 3, 2 * 3, 2 * 1 * 3),
        # Many outputs: forward is cheaper.
        ((2, 3, 5, 4), 6 + 15 + 20, 2 * (15 + 20), 2 * (15 + 20), 4 * 15 + 2 * 4 * (3 + 5)),
        # One output: adjoint is cheaper.
        ((4, 3, 5, 1), 12 + 15 + 5, 4 * (15 + 5), 4 * (15 + 5), 1 * 15 + 4 * 1 * (3 + 5)),
        # No activation: the Jacobian is the matrix, and there is no second derivative.
        ((2, 3), 6, 0, 0, 0),
    ],
)
def test_dense_multiply_adds_are_those_counted_by_hand(widths, value, jacobian, forward, adjoint):
    assert dense_multiply_adds(widths) == value + jacobian + min(forward, adjoint)


def test_least_bytes_are_those_of_the_arrays():
    point, m = np.zeros(5, np.float32), 3
    arrays = np.zeros(m), np.zeros((m, 5)), np.zeros((m, 5))
    assert least_bytes(5, m) == point.nbytes + sum(a.astype(np.float32).nbytes for a in arrays)


@pytest.mark.parametrize(
    ("widths", "numbers"),
    [
        # The point; 1 + 2n = 5 numbers for each of 3 units, twice, and for 1 output once.
        ((2, 3, 1), 2 + 5 * (2 * 3 + 1)),
        ((2, 3, 7, 4), 2 + 5 * (2 * 3 + 4 * 7 + 4)),
        ((2, 3), 2 + 5 * 3),
    ],
)
def test_unfused_bytes_are_those_counted_by_hand(widths, numbers):
    assert unfused_bytes(widths) == 4 * numbers


def test_matmul_peak_is_a_rate(monkeypatch):
    monkeypatch.setattr(peak, "_SIZES", (64,))
    assert np.isfinite(matmul_peak())
    assert matmul_peak() > 1e6


def test_matmul_peak_takes_larger_matrices_where_a_call_is_short(monkeypatch):
    monkeypatch.setattr(peak, "_SIZES", (8, 16))
    monkeypatch.setattr(peak, "_LARGEST", 64)
    sizes = []

    def least_seconds(function, left, right):
        sizes.append(len(left))
        return 0.001 * len(left) / 32

    monkeypatch.setattr(peak, "_least_seconds", least_seconds)
    monkeypatch.setattr(peak, "_LONG_SECONDS", 1.0)
    assert matmul_peak() == 64**3 / 0.002
    assert sizes == [8, 16, 32, 64]
    sizes.clear()
    monkeypatch.setattr(peak, "_LONG_SECONDS", 0.0009)
    assert matmul_peak() == 32**3 / 0.001
    assert sizes == [8, 16, 32]


def test_memory_peak_counts_two_reads_and_a_write(monkeypatch):
    monkeypatch.setattr(peak, "_LENGTH", 8)
    monkeypatch.setattr(peak, "_LONGEST", 16)
    assert memory_peak() > 0
    monkeypatch.setattr(peak, "_least_seconds", lambda function, x, y: 0.001)
    assert memory_peak() == 3 * 4 * 16 / 0.001
