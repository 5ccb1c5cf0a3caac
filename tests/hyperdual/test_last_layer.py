"""A last layer behind the only activation as one product, against JAX's nested derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS, derivatives, numerics
from hyperdiag.hyperdual._jaxpr import equations
from hyperdiag.hyperdual._last_layer import last_layers

rng = np.random.default_rng(5)
N, WIDTH, M, ROWS = 6, 13, 3, 17
FIRST, LAST = rng.standard_normal((N, WIDTH)), rng.standard_normal((WIDTH, M))
SKIP, SCALE = rng.standard_normal((N, M)), rng.uniform(1, 2, M)
POINTS = rng.standard_normal((ROWS, N))


def hidden(x):
    return jnp.tanh(x @ FIRST.astype(x.dtype) + 0.5)


def weights(x, matrix=LAST):
    return jnp.asarray(matrix, x.dtype)


@jax.jit
def layer(x, matrix):
    return x @ matrix


@jax.custom_jvp
def squared(x):
    return x * x


@squared.defjvp
def _squared_jvp(primals, tangents):
    """As it is, but not entry by entry as it is written."""
    ((x,), (t,)) = primals, tangents
    return x * x, 2 * x * t + 0 * t.sum()


NETWORKS = {
    "x W": lambda x: hidden(x) @ weights(x),
    "W x": lambda x: weights(x).T @ hidden(x),
    "a row": lambda x: (hidden(x[None]) @ weights(x))[0],
    "scaled and moved": lambda x: (hidden(x) @ weights(x)) * SCALE.astype(x.dtype) + 2,
    "squashed": lambda x: jax.nn.softplus(hidden(x) @ weights(x)),
    "with a linear part": lambda x: hidden(x) @ weights(x) + x @ weights(x, SKIP),
    "a function of its own": lambda x: layer(hidden(x), weights(x)),
    "one number": lambda x: hidden(x) @ weights(x)[:, 0],
    "no activation": lambda x: (x @ weights(x, FIRST)) @ weights(x),
    "piecewise linear": lambda x: jax.nn.relu(x @ weights(x, FIRST)) @ weights(x),
    "scaled points": lambda x: jax.nn.gelu((x * 3 - 1) @ weights(x, FIRST)) @ weights(x),
    "softmax": lambda x: jax.nn.softmax(hidden(x) @ weights(x)),
    "highest precision": lambda x: jnp.dot(hidden(x), weights(x), precision="highest"),
    "selected": lambda x: jax.nn.selu(x @ weights(x, FIRST)) @ weights(x),
    "a curvature kept as a ratio": lambda x: jnp.sqrt(x @ weights(x, FIRST) + 9) @ weights(x),
    "a quotient": lambda x: jax.nn.soft_sign(x @ weights(x, FIRST)) @ weights(x),
    "a square": lambda x: jnp.square(x @ weights(x, FIRST)) @ weights(x),
    "a rule of its own": lambda x: jnp.tanh(squared(x @ weights(x, FIRST))) @ weights(x),
    "no layer first": lambda x: jnp.sin(x) @ weights(x, SKIP),
}


def products_of_rows(fn, method, n=N):
    """Return the shapes of the right sides of products of a batch of vectors, (rows, w)."""
    batch = jax.vmap(lambda x: METHODS[method].function(fn, x))
    traced = jax.make_jaxpr(batch)(jnp.zeros((ROWS, n)))
    shapes = [
        [variable.aval.shape for variable in eqn.invars]
        for eqn in equations(traced)
        if eqn.primitive.name == "dot_general"
    ]
    return [right for left, right in shapes if left == (ROWS, WIDTH)]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_nested_jvp(name, method):
    bundle = derivatives(NETWORKS[name], N, method, dtype="float64", tile=4)
    with numerics("float64"):
        fn = lambda x: jnp.atleast_1d(NETWORKS[name](x))
        jacobian = jax.vmap(jax.jacfwd(fn))(jnp.asarray(POINTS))
        hessian = jax.vmap(jax.jacfwd(jax.jacrev(fn)))(jnp.asarray(POINTS))
        value, *ours = bundle(POINTS)
        np.testing.assert_allclose(value, jax.vmap(fn)(jnp.asarray(POINTS)), rtol=1e-12)
        np.testing.assert_allclose(ours[0], jacobian, rtol=1e-11, atol=1e-12)
        diagonal = jnp.diagonal(hessian, axis1=2, axis2=3)
        np.testing.assert_allclose(ours[1], diagonal, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["x W", "W x", "a row", "a function of its own", "squashed", "selected"]
)
def test_each_row_is_one_row_of_a_product_for_all_directions(name):
    shapes = products_of_rows(NETWORKS[name], "hyperdual")
    assert shapes.count((WIDTH, M * N)) == 2  # J and D


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("x W", "hyperdual_adjoint"),  # the reverse sweep has D
        ("piecewise linear", "hyperdual"),  # no D
        ("a square", "hyperdual"),  # D is the same for all rows
        ("a curvature kept as a ratio", "hyperdual"),  # whose product with phi' may be out of range
    ],
)
def test_j_alone_is_had_so(name, method):
    assert products_of_rows(NETWORKS[name], method).count((WIDTH, M * N)) == 1


@pytest.mark.parametrize("method", OWN_METHODS)
def test_laplacian_is_the_sum(method):
    fn = NETWORKS["x W"]
    (ours,) = derivatives(fn, N, method, dtype="float64", outputs=["laplacian"], tile=4)(POINTS)
    exact = derivatives(fn, N, "double_forward", dtype="float64")(POINTS)
    np.testing.assert_allclose(ours, np.asarray(exact.hessian_diag).sum(-1), rtol=1e-11)


OTHERS = {
    "another layer follows": lambda x: jnp.tanh(hidden(x) @ weights(x)) @ jnp.ones((M, 2)),
    "few directions": lambda x: hidden(jnp.concatenate([x[:3], jnp.ones(N - 3)])) @ weights(x),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_have_no_such_product(name):
    n = 3 if name == "few directions" else N
    assert (WIDTH, M * n) not in products_of_rows(OTHERS[name], "hyperdual", n)


def test_rows_do_not_depend_on_others_that_are_infinite():
    points = POINTS.astype(np.float32)
    fn = lambda x: jnp.cbrt(x @ weights(x, FIRST)) @ weights(x)
    bundle = derivatives(fn, N, "hyperdual", tile=4)
    _, jacobian, hessian_diag = bundle(points)
    points[5] = 0  # where the slope of a root is infinite
    _, spoilt, also = bundle(points)
    others = np.arange(ROWS) != 5
    np.testing.assert_array_equal(np.asarray(spoilt)[others], np.asarray(jacobian)[others])
    np.testing.assert_array_equal(np.asarray(also)[others], np.asarray(hessian_diag)[others])
    assert not np.isfinite(spoilt[5]).any()


@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_columns"])
def test_unit_that_is_not_selected_may_have_an_infinite_slope(method):
    first = FIRST.copy()
    first[0, 0] = -np.inf
    fn = lambda x: jax.nn.relu(x @ weights(x, first)) @ weights(x)
    points = np.abs(POINTS).astype(np.float32)
    _, jacobian, _ = derivatives(fn, N, method, tile=4)(points)
    exact = jax.vmap(jax.jacfwd(lambda x: jax.nn.relu(x @ FIRST[:, 1:]) @ LAST[1:]))(points)
    np.testing.assert_allclose(jacobian, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize(
    ("scale", "moved", "outputs"),
    [(1e-7, 30, [1, 1e-26, 1]), (1e-13, 40, [1, 1e-20, 1e3]), (1e13, -60, [1e9, 1, 1e-3])],
)
def test_no_part_leaves_the_range_of_float32(method, scale, moved, outputs):
    def fn(x):
        units = jnp.exp(
            x @ weights(x, np.sign(FIRST) * scale) * (1e-13 if scale > 1 else 1) + moved
        )
        return units @ weights(x, LAST * outputs)

    points = (POINTS / 10).astype(np.float32)
    _, jacobian, hessian_diag = derivatives(fn, N, method, tile=4)(points)
    exact = derivatives(fn, N, "double_forward", dtype="float64")(points.astype(np.float64))
    pairs = ((jacobian, exact.jacobian), (hessian_diag, exact.hessian_diag))
    for ours, theirs in (map(np.asarray, pair) for pair in pairs):
        largest = np.abs(theirs).max(axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(ours / largest, theirs / largest, atol=1e-4)


@pytest.mark.parametrize("activation", [jnp.tanh, jnp.square, lambda x: x * 3, jax.nn.relu])
@pytest.mark.parametrize("method", OWN_METHODS)
def test_can_be_differentiated_with_respect_to_weights(activation, method):
    def total(first, derive):
        fn = lambda x: activation(x @ first) @ weights(x)
        jacobian, hessian_diag = derive(fn)
        return (jacobian**2).sum() + (hessian_diag**2).sum()

    def ours(fn):
        return derivatives(fn, N, method, dtype="float64", tile=4)(POINTS)[1:]

    def at_each_point(fn):
        return jax.vmap(lambda x: METHODS[method].function(fn, x)[1:])(jnp.asarray(POINTS))

    def theirs(fn):
        points = jnp.asarray(POINTS)
        hessian = jax.vmap(jax.hessian(fn))(points)
        return jax.vmap(jax.jacfwd(fn))(points), jnp.diagonal(hessian, axis1=2, axis2=3)

    with numerics("float64"):
        first = jnp.asarray(FIRST)
        expected = jax.grad(total)(first, theirs)
        for derive in (ours, at_each_point):
            for mode in (jax.grad, jax.jacfwd):
                actual = mode(total)(first, derive)
                np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd])
def test_function_of_a_method_can_be_differentiated(mode):
    with numerics("float64"):
        x = jnp.asarray(POINTS[0])
        total = lambda x: METHODS["hyperdual"].function(NETWORKS["x W"], x)[1].sum()
        expected = jax.grad(lambda x: jax.jacfwd(NETWORKS["x W"])(x).sum())(x)
        np.testing.assert_allclose(mode(total)(x), expected, rtol=1e-9)


def test_weights_of_each_row_are_multiplied_by_themselves():
    """A matrix for all directions would be formed for each row."""
    gathered = lambda x: hidden(x) @ weights(x, np.stack([LAST, -LAST]))[(x[0] > 0).astype(int)]
    before = lambda x: jnp.tanh(jax.nn.relu(x) @ weights(x, FIRST)) @ weights(x)
    for fn in (gathered, before):
        assert not last_layers(jax.make_jaxpr(fn)(jnp.zeros(N)))
        with jax.numpy_rank_promotion("raise"):
            ours = derivatives(fn, N, "hyperdual_columns", tile=4)(POINTS)
        theirs = derivatives(fn, N, "double_forward")(POINTS)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_can_be_differentiated_further_in_both_modes():
    bundle = derivatives(NETWORKS["x W"], N, "hyperdual", dtype="float64", tile=4)
    with numerics("float64"):
        points = jnp.asarray(POINTS)
        total = lambda x: (bundle(x).hessian_diag ** 2).sum()
        exact = lambda x: jnp.sum(
            jax.vmap(lambda x: jnp.diagonal(jax.hessian(NETWORKS["x W"])(x), axis1=1, axis2=2))(x)
            ** 2
        )
        expected = jax.grad(exact)(points)
        np.testing.assert_allclose(jax.grad(total)(points), expected, rtol=1e-9, atol=1e-10)
        _, along = jax.jvp(total, (points,), (jnp.ones_like(points),))
        np.testing.assert_allclose(along, expected.sum(), rtol=1e-9)


def test_last_layers_are_those_behind_one_activation_that_no_product_follows():
    def fn(x):
        h = jnp.tanh(x @ FIRST)
        looped, _ = lax.scan(lambda c, _: (jnp.tanh(c @ jnp.ones((M, M))), None), h @ LAST, None, 2)
        return jnp.concatenate([layer(h, LAST), looped, x @ SKIP])

    traced = jax.make_jaxpr(fn)(jnp.zeros(N))
    layers = last_layers(traced)
    last = [eqn for eqn in equations(traced) if id(eqn) in layers]
    assert [[v.aval.shape for v in eqn.invars] for eqn in last] == [[(WIDTH,), (WIDTH, M)]]


@pytest.mark.parametrize(
    "other",
    [
        np.ones((0, 3)),
        np.ones((2, 2), int),
        np.ones((2, 2), complex),
        jax.random.split(jax.random.key(0), (2, 2)),
    ],
    ids=["empty", "whole numbers", "complex", "keys"],
)
def test_constants_that_are_no_matrices_of_weights_do_no_harm(other):
    array = jnp.asarray(other)
    traced = jax.make_jaxpr(lambda x: (hidden(x) @ weights(x), array.T))(jnp.zeros(N))
    assert any(const.ndim == 2 and const.dtype == array.dtype for const in traced.consts)
    assert len(last_layers(traced)) == 1


def test_program_that_is_called_twice_is_last_only_if_both_calls_are():
    square = jnp.ones((M, M))
    fn = lambda x: layer(jnp.tanh(layer(jnp.tanh(x @ SKIP), square)), square)
    assert not last_layers(jax.make_jaxpr(fn)(jnp.zeros(N)))
    fn = lambda x: layer(jnp.tanh(x @ SKIP), square) + layer(jnp.sin(x @ SKIP), square)
    assert last_layers(jax.make_jaxpr(fn)(jnp.zeros(N)))
