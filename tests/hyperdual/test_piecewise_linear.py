"""J of programs that end piecewise linear, with few outputs, which may come from one sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, derivatives

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((8, 8)), RNG.standard_normal((8, 2))
FILTER = RNG.standard_normal(5)


@jax.custom_jvp
def _rounded(x):
    return jnp.round(x)


_rounded.defjvp(lambda primals, tangents: (jnp.round(primals[0]), tangents[0]))


def _beside_a_loop_without_reverse(x):
    _, doubled = jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, 2 * c[1]), (0, x))
    return (3 * x + doubled)[:2]


def _recurrent(x):
    step = lambda carry, a: (jax.nn.relu(carry @ A * 0.3 + a), carry)
    return jax.lax.scan(step, jnp.zeros(8, x.dtype), x)[0][:2] + x[2:4]


PROGRAMS = {
    "relu": lambda x: jax.nn.relu(jax.nn.relu(x @ A) @ A) @ B,
    "hard tanh": lambda x: jax.nn.hard_tanh(x @ A) @ B,
    "absolute": lambda x: jnp.abs(x @ A) @ B,
    "straight through": lambda x: _rounded(x @ A) @ B,
    "beside a loop without reverse": _beside_a_loop_without_reverse,
    "recurrent, with a skip": _recurrent,
    "branch, with a skip": lambda x: (
        jax.lax.cond(x[0] > 0, jnp.negative, lambda x: x, x)[:2] + x[3]
    ),
    "filter": lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * FILTER, 8)[:2],
    "sorted": lambda x: jnp.sort(x)[:2] + x[5],
    "checkpoint": lambda x: jax.checkpoint(lambda x: jax.nn.relu(x @ A))(x) @ B,
    "beside what is constant": lambda x: (2 * x + jax.lax.stop_gradient(jnp.exp(x)))[:2],
    "one output": lambda x: jnp.maximum(x, 0).sum(),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_has_the_jacobian_of_nested_forward_mode(name):
    points = np.random.default_rng(1).standard_normal((6, 8))
    derived, expected = (
        derivatives(PROGRAMS[name], 8, method, tile=6, dtype="float64")(points)
        for method in ("hyperdual_adjoint", "double_forward")
    )
    np.testing.assert_allclose(derived.jacobian, expected.jacobian, rtol=0, atol=1e-12)
    assert not derived.hessian_diag.any()


def _pieces(h):
    return jax.nn.relu(jax.nn.relu(h @ A) @ A) @ B


def _product_beside(x):
    product = x[:2] * x[1]
    return _pieces(jnp.sin(x)) + product + x[2:4]


def _curved_in_a_branch(x):
    return _pieces(jax.lax.cond(x[0] > 0, jnp.sin, lambda x: x**2, x))


def _recurrent_and_curved(x):
    step = lambda carry, a: (jnp.tanh(carry @ A * 0.3 + a), carry)
    return _pieces(jax.lax.scan(step, jnp.zeros(8, x.dtype), x)[0]) + x[2:4]


CURVED_FIRST = {
    "logarithms": lambda x: _pieces(jnp.log1p(x**2)),
    "a layer, then sines": lambda x: _pieces(jnp.sin(x @ A)),
    "sines and what they are of": lambda x: _pieces(jnp.sin(x) + x),
    "beside a product": _product_beside,
    "of a branch": _curved_in_a_branch,
    "of a loop": _recurrent_and_curved,
    "with a norm": lambda x: _pieces(x / jnp.sqrt(jnp.sum(x**2) + 1)),
    "an output of none": lambda x: _pieces(jnp.sin(x)) * jnp.array([1.0, 0.0], x.dtype),
}


@pytest.mark.parametrize("name", CURVED_FIRST)
def test_what_is_curved_before_the_pieces_counts(name):
    points = np.random.default_rng(1).standard_normal((6, 8))
    derived, expected = (
        derivatives(CURVED_FIRST[name], 8, method, tile=6, dtype="float64")(points)
        for method in ("hyperdual_adjoint", "double_forward")
    )
    np.testing.assert_allclose(derived.jacobian, expected.jacobian, rtol=0, atol=1e-12)
    np.testing.assert_allclose(derived.hessian_diag, expected.hessian_diag, rtol=0, atol=1e-12)
    assert derived.hessian_diag.any()


def test_no_direction_goes_through_the_pieces():
    """50 inputs, whose logarithms pass three layers of 64 to one output: a sweep and no more."""
    layers = [RNG.standard_normal(shape) for shape in [(50, 64), (64, 64), (64, 64), (64, 1)]]
    layers = [jnp.asarray(layer, jnp.float32) for layer in layers]

    def network(x):
        h = jnp.log1p(x**2)
        for layer in layers[:-1]:
            h = jax.nn.relu(h @ layer)
        return h @ layers[-1]

    batch = jax.jit(jax.vmap(lambda z: METHODS["hyperdual_adjoint"].function(network, z)))
    lowered = batch.lower(jax.ShapeDtypeStruct((32, 50), np.float32))
    flops = lowered.compile().cost_analysis()["flops"] / 32
    weights = sum(layer.size for layer in layers)
    assert flops < 3 * 2 * weights  # the value, the sweep, and what is done entry by entry
