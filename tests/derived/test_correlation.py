import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperdiag.derived.correlation import factor, matrix_of


def _random(seed, size, rank):
    x = np.random.default_rng(seed).normal(size=(size, rank))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7))
def test_factor_times_itself_is_the_matrix(seed, size, rank):
    matrix = _random(seed, size, rank)
    np.fill_diagonal(matrix, 1)
    lower = np.array(factor(matrix.tolist()))
    assert np.count_nonzero(lower.any(axis=0)) <= min(rank, size)
    np.testing.assert_allclose(lower @ lower.T, matrix, atol=1e-11)


def test_factor_is_numpys_where_the_matrix_is_definite():
    matrix = _random(5, 6, 9)
    lower = np.array(factor(matrix.tolist()))
    # Rows in the order of the pivots: each has one entry more than the one before.
    order = np.argsort(np.count_nonzero(lower, axis=1), kind="stable")
    right = np.linalg.cholesky(matrix[np.ix_(order, order)])
    np.testing.assert_allclose(lower[order], right, atol=1e-12)


@pytest.mark.parametrize("third", [-0.9, -0.1, 0.4])
def test_factor_of_what_no_inputs_can_have_is_refused(third):
    matrix = matrix_of("abc", {"a": {"b": 0.9, "c": 0.9}, "b": {"c": third}})
    assert np.linalg.eigvalsh(matrix).min() < 0
    with pytest.raises(ValueError, match="semidefinite"):
        factor(matrix)


def test_matrix_has_pairs_in_either_order():
    assert matrix_of("abc", {"c": {"a": 0.5}}) == [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]]
