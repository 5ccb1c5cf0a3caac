"""Largest entries in windows: equal entries, and windows with gaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag import derivatives
from hyperdiag.hyperdual._methods import OWN_METHODS


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize(("init", "taken"), [(-np.inf, lax.max), (np.inf, lax.min)])
def test_of_equal_entries_the_same_is_taken_as_by_jax(method, init, taken):
    def pooled(x):
        return lax.reduce_window(x**2, init, taken, (3,), (1,), "SAME")

    x = np.array([[1.0, 2, 2, 1, 1, 1, 3, -3], [0, 0, 0, 0, 0, 0, 0, 0]])
    derived = derivatives(pooled, 8, method, dtype="float64", tile=2)(x)
    with jax.enable_x64(True):
        jacobian = jax.vmap(jax.jacfwd(pooled))(x)
        hessian = jax.vmap(jax.jacfwd(jax.jacfwd(pooled)))(x)
    np.testing.assert_array_equal(derived.value, jax.vmap(pooled)(x))
    np.testing.assert_array_equal(derived.jacobian, jacobian)
    np.testing.assert_array_equal(derived.hessian_diag, jnp.diagonal(hessian, axis1=2, axis2=3))


@pytest.mark.parametrize("method", OWN_METHODS)
def test_windows_with_gaps(method):
    """JAX has no reverse for these."""

    def pooled(x):
        return lax.reduce_window(
            jnp.sin(x), -np.inf, lax.max, (2,), (1,), "VALID", window_dilation=(3,)
        )

    x = np.random.default_rng(0).standard_normal((4, 7))
    derived = derivatives(pooled, 7, method, dtype="float64", tile=2)(x)
    first = np.sin(x[:, :4]) > np.sin(x[:, 3:])
    rows, outputs = np.indices((4, 4))
    at = outputs + np.where(first, 0, 3)
    expected = np.zeros((4, 4, 7))
    expected[rows, outputs, at] = np.cos(x[rows, at])
    np.testing.assert_allclose(derived.jacobian, expected, atol=1e-12)
    expected[rows, outputs, at] = -np.sin(x[rows, at])
    np.testing.assert_allclose(derived.hessian_diag, expected, atol=1e-12)
