"""Dense layers written in other ways than x W: the same products, the same numbers."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, derivatives
from hyperdiag.hyperdual._jaxpr import equations, shape_of

rng = np.random.default_rng(3)
WIDTHS = (3, 25, 21, 2)
LAYERS = [rng.standard_normal(pair) for pair in pairwise(WIDTHS)]
POINTS = rng.standard_normal((4, 3))
WAYS = {
    "x W": lambda x, w: x @ w,
    "W x": lambda x, w: jnp.asarray(w.T) @ x,
    "turned in the product": lambda x, w: lax.dot_general(x, w.T, (((0,), (1,)), ((), ()))),
    "turned in both": lambda x, w: lax.dot_general(w, x, (((0,), (0,)), ((), ()))),
    "a row": lambda x, w: (x[None] @ w)[0],
    "a row of a row": lambda x, w: (x[None, None] @ w)[0, 0],
    "a column": lambda x, w: (jnp.asarray(w.T) @ x[:, None])[:, 0],
    "einsum": lambda x, w: jnp.einsum("ij,ki->kj", w, x[None])[0],
}
OWN = ["hyperdual", "hyperdual_adjoint", "hyperdual_columns"]


def network(way):
    def function(x):
        for w in LAYERS[:-1]:
            x = jnp.tanh(WAYS[way](x, w.astype(x.dtype)))
        return WAYS[way](x, LAYERS[-1].astype(x.dtype))

    return function


def products(way, method):
    """Return the shapes of operands and result of each product of a batch, in order."""
    batch = jax.vmap(lambda x: METHODS[method].function(network(way), x))
    traced = jax.make_jaxpr(batch)(jnp.zeros((11, 3)))
    return [
        tuple(variable.aval.shape for variable in (*eqn.invars, *eqn.outvars))
        for eqn in equations(traced)
        if eqn.primitive.name == "dot_general"
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint"])
def test_every_layer_is_a_product_of_vectors_with_its_weights(way, method):
    assert products(way, method) == products("x W", method)


@pytest.mark.parametrize("way", WAYS)
def test_every_layer_is_one_product_of_all_columns(way):
    results = [result for _, _, result in products(way, "hyperdual_columns")]
    of_vectors = [result for _, _, result in products("x W", "hyperdual_columns")]
    assert sorted(map(np.prod, results)) == sorted(map(np.prod, of_vectors))


@pytest.fixture(scope="module")
def wanted():
    """Value, J and D of the same network as x W, by JAX's own transformations."""
    function = network("x W")

    def point(x):
        hessian = jax.hessian(function)(x)
        return function(x), jax.jacfwd(function)(x), jnp.diagonal(hessian, axis1=1, axis2=2)

    with jax.enable_x64(True):
        return [np.asarray(array) for array in jax.jit(jax.vmap(point))(POINTS)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", OWN)
def test_the_derivatives_are_those_of_jax(way, method, wanted):
    results = derivatives(network(way), 3, method, dtype="float64", tile=4)(POINTS)
    for result, array in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result, array, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_awkward_widths_are_seen_in_every_way_of_writing_a_layer(way):
    assert shape_of(network(way), 3, 3, "float32", "cpu").ragged
