"""Products of concatenated arrays of which some parts have no D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, derivatives, numerics

RNG = np.random.default_rng(0)
FIRST, SECOND, LAST = (RNG.standard_normal(shape) / 2 for shape in [(6, 5), (11, 5), (16, 3)])
OF_EACH = RNG.standard_normal((4, 5, 2))


def _dense(x, weights):
    return x @ jnp.asarray(weights, x.dtype)


def _skips(x):
    first = jnp.tanh(_dense(x, FIRST))
    second = jnp.tanh(_dense(jnp.concatenate([x, first]), SECOND))
    return _dense(jnp.concatenate([x, second, first]), LAST)


def _matrix_times_parts(x):
    joined = jnp.concatenate([jnp.sin(_dense(x, FIRST)), x, x**2])[:16]
    return jnp.asarray(LAST.T, x.dtype) @ jnp.concatenate([joined[:5], x, joined[11:]])


def _parts_around_a_constant(x):
    first = jnp.exp(_dense(x, FIRST) / 4)
    return _dense(jnp.concatenate([first, jnp.ones(5, x.dtype), x]), LAST)


def _relu_beside_tanh(x):
    straight, bent = jax.nn.relu(_dense(x, FIRST)), jnp.tanh(_dense(x, FIRST))
    return _dense(jnp.concatenate([bent, straight, x]), LAST)


def _rows_of_matrices(x):
    tokens = x[:4].reshape(4, 1) * jnp.ones((4, 2), x.dtype)
    joined = jnp.concatenate([tokens, jnp.sin(tokens), jnp.ones((4, 1), x.dtype)], axis=1)
    return jnp.einsum("ti,tio->o", joined, jnp.asarray(OF_EACH, x.dtype))


def _one_part_twice(x):
    bent = jnp.sin(x)[:5]
    return _dense(jnp.concatenate([x, bent, bent]), LAST)


NETWORKS = [
    _skips,
    _matrix_times_parts,
    _parts_around_a_constant,
    _relu_beside_tanh,
    _rows_of_matrices,
    _one_part_twice,
]


@pytest.mark.parametrize("network", NETWORKS)
def test_derivatives_are_those_of_jax(network):
    points = RNG.standard_normal((3, 6))
    with numerics("float64"):
        jacobian = jax.vmap(jax.jacfwd(network))(points)
        hessian = jax.vmap(jax.hessian(network))(points)
    for method in OWN_METHODS:
        found = derivatives(network, 6, method, dtype="float64", tile=3)(points)
        np.testing.assert_allclose(found.jacobian, jacobian, rtol=1e-12, atol=1e-12)
        diagonal = np.diagonal(hessian, axis1=2, axis2=3)
        np.testing.assert_allclose(found.hessian_diag, diagonal, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_columns"])
def test_a_skip_connection_costs_no_pass_of_its_own(method):
    """Of 96 + 16 numbers before 64 outputs only the 16 have J of a row, and D."""
    weights = [RNG.standard_normal(shape) for shape in [(96, 16), (96, 64), (16, 64)]]
    entry, of_x, of_h = (jnp.asarray(each, jnp.float32) for each in weights)

    def joined(x):
        h = jnp.tanh(x @ entry)
        return jnp.tanh(jnp.concatenate([x, h]) @ jnp.concatenate([of_x, of_h]))[:2]

    def apart(x):
        return jnp.tanh(x @ of_x + jnp.tanh(x @ entry) @ of_h)[:2]

    def flops(network):
        batch = jax.jit(METHODS[method].batch(lambda z: METHODS[method].function(network, z)))
        lowered = batch.lower(jax.ShapeDtypeStruct((64, 96), np.float32))
        return lowered.compile().cost_analysis()["flops"]

    assert flops(joined) < 1.05 * flops(apart)
