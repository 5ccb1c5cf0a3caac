"""The rows as the last axis: the same results as `jax.vmap`, whatever is in the function."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import sparse

from hyperdiag.hyperdual import METHODS, derivatives
from hyperdiag.hyperdual._jaxpr import equations
from hyperdiag.hyperdual._rows_last import rows_last

from .programs._check import assert_close, reference

ROWS = 5
rng = np.random.default_rng(0)
A, B, C = (jnp.asarray(rng.standard_normal(s)) for s in ((3, 4), (4, 4), (2, 3, 4)))
BIAS = jnp.asarray(rng.standard_normal(4))


def _scanned(x):
    return lax.scan(lambda h, item: (jnp.tanh(h * item + x[0]), h), x.sum(), jnp.arange(4.0))


# Functions of x, shape (3,), each with operands that all rows share.
PROGRAMS = {
    "bias": lambda x: jnp.tanh(x @ A + BIAS) * 2.0 - BIAS,
    "weights first": lambda x: A.T @ x,
    "matrix of the row, weights second": lambda x: jnp.outer(x, x) @ A,
    "matrix of the row, weights first": lambda x: A.T @ jnp.outer(x, x),
    "batch axes, weights second": lambda x: jnp.einsum("bi,bij->bj", jnp.stack([x, x * x]), C),
    "batch axes, weights first": lambda x: jnp.einsum("bij,bi->jb", C, jnp.stack([x, x * x])),
    "two contracted axes": lambda x: jnp.einsum("bij,bi->j", C, jnp.stack([x, x * x])),
    "product of two of the row": lambda x: (x @ A) @ jnp.outer(x @ A, x),
    "scalar of the row with an array of all": lambda x: jnp.where(x[0] > 0, BIAS, x[1] * BIAS),
    "array of the row with a scalar": lambda x: jnp.clip(jnp.where(x > 0, x, 0.0), -0.5, 0.5),
    "bounds of the row": lambda x: lax.clamp(x[0], jnp.asarray([0.1, 0.2, -0.3]), x[0] + 1),
    "power": lambda x: x**3 + 2.0**x,
    "whole numbers": lambda x: jnp.round(3 * x).astype(int) % 2 == 0,
    "reshape and transpose": lambda x: jnp.outer(x, x @ A).reshape(2, 6).T[:, ::-1],
    "reshape in another order": lambda x: lax.reshape(jnp.outer(x, x @ A), (2, 6), (1, 0)),
    "broadcast and squeeze": lambda x: jnp.broadcast_to(x[:, None], (3, 2))[:, :1].squeeze(1),
    "concatenate with what all share": lambda x: jnp.concatenate([BIAS, x, x @ A]),
    "sums and sorting": lambda x: (jnp.outer(x, x).sum(axis=0), jnp.sort(x), jnp.cumsum(x)),
    "called": lambda x: jax.jit(lambda y: jnp.tanh(y) @ A)(x * 2),
    "rule of its own": lambda x: jax.nn.relu(x @ A) + jax.nn.silu(BIAS),
    "loop": _scanned,
    "branch": lambda x: lax.cond(x[0] > 0, lambda y: y @ A, lambda y: BIAS * y[1], x),
    "scalar of weak type added to one of the row": lambda x: jax.grad(
        lambda s: (jnp.sin(s) * x).sum() + s**2 + s
    )(1.0),
    "shared by all rows": lambda x: (x, BIAS, 3.0 * jnp.ones(())),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("name", "rows"),
    [(name, ROWS) for name in PROGRAMS] + [("bias", 0), ("bias", 1), ("shared by all rows", 0)],
)
def test_rows_last_of_a_function_is_its_vmap(name, rows):
    x = jnp.asarray(np.random.default_rng(1).standard_normal((rows, 3)))
    both = lambda x: (rows_last(PROGRAMS[name])(x), jax.vmap(PROGRAMS[name])(x))
    found, wanted = jax.jit(both)(x)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_rows_last_of_two_arguments_and_its_gradient_are_those_of_vmap():
    fn = lambda x, y: jnp.tanh(x @ A + BIAS) @ jnp.outer(y @ A, y)
    x, y = (jnp.asarray(rng.standard_normal((ROWS, 3))) for _ in range(2))
    total = lambda batched: jax.grad(lambda x, y: jnp.sum(batched(fn)(x, y) ** 2), (0, 1))
    found, wanted = jax.jit(lambda x, y: (total(rows_last)(x, y), total(jax.vmap)(x, y)))(x, y)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_rows_stay_the_last_axis_of_a_dense_network_and_its_layers_are_one_product_each():
    rows, widths = 17, (3, 5, 7, 11, 2)
    layers = [jnp.asarray(rng.standard_normal(pair)) for pair in pairwise(widths)]

    def network(x):
        for layer in layers[:-1]:
            x = jnp.tanh(x @ layer + 1.0)
        return x @ layers[-1]

    batch = rows_last(lambda x: METHODS["hyperdual_columns"].function(network, x))
    traced = jax.make_jaxpr(batch)(jnp.zeros((rows, widths[0])))
    *inside, _, _, _ = [e for e in equations(traced) if rows in e.outvars[0].aval.shape]
    assert all(e.outvars[0].aval.shape[-1] == rows for e in inside)
    products = [e.outvars[0].aval.shape for e in equations(traced) if "dot" in e.primitive.name]
    columns = (1 + 2 * widths[0]) * rows  # value, J and D, the rows innermost
    # The first layer's J is the same for all rows: its product is of the values alone.
    assert [shape for shape in products if shape[-1] % rows == 0] == [
        (5, rows), (7, columns), (11, columns), (2, columns)
    ]  # fmt: skip


def _in_any_row(condition):
    """Whether it is so in any row, which all rows share, as Equinox's `error_if` asks."""

    @jax.custom_batching.custom_vmap
    def some(condition):
        return condition

    @some.def_vmap
    def _(size, in_batched, conditions):
        return jnp.any(conditions), False

    return some(condition)


def test_predicate_that_all_rows_share_runs_one_branch_alone():
    ran = []

    def complain(x):
        jax.debug.callback(lambda: ran.append(1))
        return x * 0

    def fn(x):
        x = lax.cond(_in_any_row(x[0] > 100), complain, lambda x: x, x)
        return jnp.sin(x) * x[0]

    bundle = derivatives(fn, 2, "hyperdual_columns", dtype="float64", tile=3)
    points = np.array([[0.3, 0.4], [0.5, 0.6], [0.1, 0.2]])
    found = jax.block_until_ready(bundle(points).hessian_diag)
    jax.effects_barrier()
    assert ran == []
    wanted = derivatives(lambda x: jnp.sin(x) * x[0], 2, "dense_hessian", dtype="float64")
    np.testing.assert_allclose(found, wanted(points).hessian_diag, rtol=0, atol=1e-12)
    points[0, 0] = 101
    jax.block_until_ready(bundle(points))
    jax.effects_barrier()
    assert ran


def test_sparse_matrix_of_the_row_is_multiplied():
    places = np.array([[0, 1], [1, 0]])
    fn = lambda x: sparse.BCOO((jnp.sin(x), places), shape=(2, 2)) @ x
    with jax.enable_x64(True):
        z = jnp.array([[0.3, 0.9], [0.1, -0.4]])
        found = jax.jit(rows_last(lambda x: METHODS["hyperdual_columns"].function(fn, x)))(z)
        wanted = jax.vmap(lambda x: reference(lambda x: jnp.sin(x) * x[::-1], x))(z)
    assert_close(found, wanted)
