"""J of programs that are, or end, piecewise linear, with fewer outputs than inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import OWN_METHODS, derivatives

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


def _by_both(program):
    points = np.random.default_rng(1).standard_normal((6, 8))
    return [
        derivatives(program, 8, method, tile=6, dtype="float64")(points)
        for method in ("hyperdual_adjoint", "double_forward")
    ]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", PROGRAMS)
def test_adjoint_has_the_jacobian_of_nested_forward_mode(name):
    derived, expected = _by_both(PROGRAMS[name])
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
    derived, expected = _by_both(CURVED_FIRST[name])
    np.testing.assert_allclose(derived.jacobian, expected.jacobian, rtol=0, atol=1e-12)
    np.testing.assert_allclose(derived.hessian_diag, expected.hessian_diag, rtol=0, atol=1e-12)
    assert derived.hessian_diag.any()


def _distances(x):
    squares = (x[:6].reshape(3, 2) ** 2).sum(axis=1)
    nearness = jnp.exp(-((jnp.sqrt(squares) @ jnp.eye(3, dtype=x.dtype)) ** 2))
    return jax.nn.relu(nearness @ jnp.abs(A[:3])) @ jnp.abs(B) + x[6:]


@pytest.mark.parametrize("method", OWN_METHODS)
def test_a_slope_of_zero_behind_an_infinite_one_hides_nothing(method):
    """The first distance is zero: there its own slope is not known, and nor are J and D."""
    point = np.array([[0, 0, 0.5, 0.2, 0.3, 0.1, 1, 2]])
    derived = derivatives(_distances, 8, method, tile=1, dtype="float64")(point)
    assert np.isnan(derived.jacobian[0, :, :2]).all()
    assert np.isnan(derived.hessian_diag[0, :, :2]).all()
