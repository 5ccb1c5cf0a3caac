import numpy as np
import pytest

from hyperdiag.bench.peak import dense_multiply_adds, matmul_peak


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


def test_matmul_peak_is_a_rate(monkeypatch):
    monkeypatch.setattr("hyperdiag.bench.peak._SIZES", (64,))
    assert np.isfinite(matmul_peak())
    assert matmul_peak() > 1e6
