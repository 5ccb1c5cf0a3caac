"""What is known to be zero, or the same for all rows, is not computed: counted operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, derivatives

ROWS = 64


def _weights(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def _flops(method, fn, n):
    """Return XLA's count for a batch, after its simplifications."""
    batch = jax.jit(jax.vmap(lambda z: METHODS[method].function(fn, z)))
    compiled = batch.lower(jax.ShapeDtypeStruct((ROWS, n), np.float32)).compile()
    return compiled.cost_analysis()["flops"]


def _value_flops(fn, n):
    compiled = jax.jit(jax.vmap(fn)).lower(jax.ShapeDtypeStruct((ROWS, n), np.float32)).compile()
    return compiled.cost_analysis()["flops"]


@pytest.mark.parametrize("method", OWN_METHODS)
def test_linear_network_costs_little_more_than_its_value(method):
    """J is the same for all rows, and D is structurally zero."""
    a, b = _weights(32, 64), _weights(64, 3)
    fn = lambda x: (x @ a + 1.0) @ b
    # Per row, the value; once, the product of the matrices. Adjoint: m passes back, unused.
    once = 2 * 32 * 64 * 3
    assert _flops(method, fn, 32) < 1.5 * _value_flops(fn, 32) + once


@pytest.mark.parametrize("method", OWN_METHODS)
def test_first_layer_costs_no_pass_for_each_direction(method):
    """x @ a has the same J for all rows; only the layers behind the activation see directions."""
    a, b = _weights(256, 64), _weights(64, 1)
    fn = lambda x: jnp.tanh(x @ a) @ b
    wide = 2 * ROWS * 256 * 64  # one pass through the first layer
    # Left are value and reverse passes there, and elementwise work on (256, 64) for each row.
    assert _flops(method, fn, 256) < 14 * wide


@pytest.mark.parametrize("method", OWN_METHODS)
def test_elementwise_first_stage_costs_no_directions(method):
    a = _weights(128, 4)
    plain = lambda x: x @ a
    staged = lambda x: jnp.log(1 + x * x) @ a
    extra = _flops(method, staged, 128) - _flops(method, plain, 128)
    # log and its derivatives for 128 entries, and two products with a for each row: not 128 x 128.
    assert extra < 40 * ROWS * 128 * 4


@pytest.mark.one_in(9)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_tokens_that_mix_late_cost_their_own_directions_only(method):
    """16 tokens of 4 features through a layer each: 4 directions for a token, not 64."""
    a, b, c = _weights(4, 32), _weights(32, 32, seed=1), _weights(32, 1, seed=2)

    def fn(x):
        tokens = jnp.tanh(jnp.tanh(x.reshape(16, 4) @ a) @ b)
        return tokens.sum(axis=0) @ c

    one_pass = 2 * ROWS * 16 * 32 * 32
    assert _flops(method, fn, 64) < 16 * one_pass
    assert _flops("double_forward", fn, 64) > 100 * one_pass


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_pixels_through_windows_of_one_cost_their_own_directions_only(method):
    kernel, mix = _weights(8, 2, 1, 1), _weights(8, 8, 1, 1, seed=1)

    def fn(x):
        image = x.reshape(1, 2, 6, 6)
        for window in (kernel, mix):
            image = jnp.tanh(jax.lax.conv_general_dilated(image, window, (1, 1), "VALID"))
        return image.mean(axis=(0, 2, 3))

    assert _flops(method, fn, 72) < 0.2 * _flops("double_forward", fn, 72)


def test_adjoint_costs_one_pass_for_each_direction_and_each_output():
    a, b, c = _weights(24, 128), _weights(128, 128, seed=1), _weights(128, 128, seed=2)
    mix = _weights(128, 2, seed=3)
    fn = lambda x: jnp.tanh(jnp.tanh(jnp.tanh(x @ a) @ b) @ c) @ mix
    one_pass = 2 * ROWS * 2 * 128 * 128
    passes = _flops("hyperdual_adjoint", fn, 24) / one_pass
    assert passes * 1.05 >= 1 + 24 + 2
    assert passes < 1.25 * (1 + 24 + 2)
    assert 1 + 2 * 24 <= 1.05 * _flops("hyperdual", fn, 24) / one_pass < 1.2 * (1 + 2 * 24)


@pytest.mark.slow
def test_j_of_a_piecewise_linear_program_comes_from_the_reverse_sweep_alone():
    """64-64-64-2 with ReLUs: two rows back through each matrix, and not 64 directions forward."""
    rng = np.random.default_rng(0)
    first, second, last = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((64, 64), (64, 64), (64, 2))
    )

    def network(x):
        return jax.nn.relu(jax.nn.relu(x @ first) @ second) @ last

    assert _flops("hyperdual_adjoint", network, 64) < _flops("hyperdual", network, 64) / 8
    x = rng.standard_normal((5, 64)).astype(np.float32)
    derived = derivatives(network, 64, "hyperdual_adjoint", tile=2)(x)
    masks = (x @ first > 0), (np.maximum(x @ first, 0) @ second > 0)
    for row, jacobian in enumerate(derived.jacobian):
        expected = ((first * masks[0][row]) @ (second * masks[1][row]) @ last).T
        np.testing.assert_allclose(jacobian, expected, rtol=1e-4, atol=1e-3)
    assert not derived.hessian_diag.any()
