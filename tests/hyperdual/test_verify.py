"""`verify`: small errors for right methods, large ones for wrong derivatives."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, verify

POINTS = np.random.default_rng(0).standard_normal((5, 4))
WEIGHTS = np.random.default_rng(1).standard_normal((3, 4))


def _net(x):
    return jnp.asarray(WEIGHTS, x.dtype) @ jnp.sin(x * x[0])


@pytest.mark.one_in(16)
@pytest.mark.parametrize("method", METHODS)
def test_verify_of_a_right_method_is_within_rounding(method):
    tile = 4 if METHODS[method].own else None
    assert max(verify(_net, POINTS, method, dtype="float64", tile=tile)) < 1e-14
    single = verify(_net, POINTS, method, dtype="float32", tile=tile)
    assert 1e-9 < max(single) < 1e-5


def test_verify_names_the_quantity_that_is_wrong(monkeypatch):
    right = METHODS["hyperdual"]

    def wrong(fn, z):
        value, jacobian, hessian_diag = right.function(fn, z)
        return value, jacobian, hessian_diag.at[1, 2].multiply(1.01)

    monkeypatch.setitem(METHODS, "hyperdual", replace(right, function=wrong))
    found = verify(_net, POINTS, "hyperdual", dtype="float64", tile=2)
    assert max(found.value, found.jacobian) < 1e-14
    assert 1e-4 < found.hessian_diag < 2e-2


def test_verify_of_a_custom_vjp_takes_a_reference_that_honours_it():
    @jax.custom_vjp
    def odd(x):
        return jnp.sin(x)

    odd.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))
    fn = lambda x: odd(x) * x
    for method in OWN_METHODS:
        assert max(verify(fn, POINTS, method, dtype="float64", tile=2)) < 1e-13


def test_verify_of_an_all_zero_output_is_zero():
    assert verify(lambda x: 0 * x, POINTS, "hyperdual", tile=2) == (0.0, 0.0, 0.0)
