from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, Method, MethodError, derivatives
from hyperdiag.hyperdual._jaxpr import ProgramShape
from hyperdiag.hyperdual._tuner import candidates

from .networks import NETWORKS
from .programs._check import QUICK

ROWS = 6


def _points(n):
    return np.random.default_rng(n).standard_normal((ROWS, n))


def _close(found, wanted, relative):
    for a, b in zip(found, wanted, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=relative * max(np.abs(b).max(), 1e-300))


def _dense(fn, x):
    """Value, Jacobian and Hessian diagonal by jax.hessian, written as a user would."""
    vector = lambda point: jnp.atleast_1d(fn(point))
    hessian = jax.vmap(jax.hessian(vector))(x)
    return (
        jax.vmap(vector)(x),
        jax.vmap(jax.jacrev(vector))(x),
        jnp.einsum("rjii->rji", hessian),
    )


def _found(name, methods, wrt=None):
    """What each method finds for one of the networks, after the reference: compiled as one."""
    fn, n = NETWORKS[name]
    bundles = [derivatives(fn, n, m, wrt, dtype="float64", tile=ROWS) for m in methods]
    together = lambda x: [_dense(fn, x), *(bundle(x) for bundle in bundles)]
    with jax.enable_x64(True):
        return jax.jit(together, compiler_options=QUICK)(_points(n))


def _is_refused(fn, n):
    """Whether `taylor` refuses, which it does before anything is computed."""
    try:
        jax.eval_shape(derivatives(fn, n, method="taylor"), _points(n))
    except MethodError:
        return True
    return False


@pytest.mark.one_in(32)
@pytest.mark.parametrize("name", NETWORKS)
def test_methods_on_the_zoo_agree_to_1e_10(name):
    """The field's methods; our own have `test_exactness.py`."""
    methods = [method for method in METHODS if method not in OWN_METHODS]
    if _is_refused(*NETWORKS[name]):
        methods.remove("taylor")
    wanted, *all_found = _found(name, methods)
    for found in all_found:
        _close(found, wanted, 1e-10)


def test_taylor_with_a_custom_rule_refuses_by_name():
    fn, n = NETWORKS["mlp-relu"]
    with pytest.raises(MethodError, match=r"'relu' \(custom_jvp\)"):
        derivatives(fn, n, method="taylor")(_points(n))


def test_taylor_with_a_primitive_without_series_refuses_by_name():
    fn = lambda x: jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]
    with pytest.raises(MethodError, match="while"):
        derivatives(fn, 2, method="taylor")(np.ones((1, 2)))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: (x**2).at[jnp.array([1, 7])].get(mode="fill", fill_value=3),
        lambda x: jax.jit(lambda y: jnp.take(y, jnp.array([7]), mode="fill", fill_value=-1.0))(x),
    ],
)
def test_taylor_refuses_indexing_that_fills_with_a_number(fn):
    """jet has the number for the derivatives, too."""
    with pytest.raises(MethodError, match="fill_value"):
        derivatives(fn, 2, method="taylor")(np.ones((1, 2)))
    assert (
        derivatives(fn, 2, method="hyperdual", tile=1)(np.ones((1, 2))).jacobian[0, -1] == 0
    ).all()


@pytest.mark.parametrize("fill", [0.0, None])
def test_taylor_fills_with_zero_and_with_nan(fill):
    fn = lambda x: (x**2).at[jnp.array([1, 7])].get(mode="fill", fill_value=fill)
    y, jacobian, hessian_diag = derivatives(fn, 2, method="taylor")(np.ones((1, 2)))
    np.testing.assert_array_equal(y[0], [1, np.nan if fill is None else 0])
    np.testing.assert_array_equal(jacobian[0, 0], [0, 2])
    np.testing.assert_allclose(hessian_diag[0, 0], [0, 2], rtol=1e-5)


@pytest.mark.slow
def test_taylor_refuses_few_of_the_zoo():
    assert sum(_is_refused(fn, n) for fn, n in NETWORKS.values()) <= len(NETWORKS) // 3


DENSE = [np.random.default_rng(7).standard_normal(shape) for shape in ((6, 4), (5, 6), (3, 5))]


@cache
def _found_for_a_dense_net():
    """What each method finds, by name; the tile of our own methods is found by timing."""
    a, b, c = DENSE
    fn = lambda x: c @ jnp.tanh(b @ jnp.tanh(a @ x))
    bundles = [derivatives(fn, 4, method, dtype="float64", tuning_seconds=0) for method in METHODS]
    with jax.enable_x64(True):
        together = jax.jit(lambda x: [bundle(x) for bundle in bundles], compiler_options=QUICK)
        return dict(zip(METHODS, together(_points(4)), strict=True))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", METHODS)
def test_methods_on_a_dense_net_match_the_closed_form(method):
    """y = C tanh(B tanh(A x)), differentiated by hand."""
    a, b, c = DENSE
    h = np.tanh(_points(4) @ a.T)  # first layer, (rows, 6)
    g = np.tanh(h @ b.T)  # second layer, (rows, 5)
    dh = (1 - h**2)[:, :, None] * a  # (rows, 6, 4)
    d2h = (-2 * h * (1 - h**2))[:, :, None] * a**2
    dz, d2z = b @ dh, b @ d2h
    dg = (1 - g**2)[:, :, None] * dz
    d2g = (-2 * g * (1 - g**2))[:, :, None] * dz**2 + (1 - g**2)[:, :, None] * d2z
    _close(_found_for_a_dense_net()[method], (g @ c.T, c @ dg, c @ d2g), 1e-13)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["chain-10-5-elu-3", "attention"])
def test_wrt_restricts_to_the_named_columns(name):
    (value, jacobian, hessian_diag), *all_found = _found(name, METHODS, wrt=[4, 1])
    for found in all_found:
        _close(found, (value, jacobian[:, :, [4, 1]], hessian_diag[:, :, [4, 1]]), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_wrt_one_of_many_inputs_costs_accordingly(method):
    weights = np.random.default_rng(0).standard_normal((64, 32))
    mix = np.random.default_rng(1).standard_normal((2, 64))
    fn = lambda x: mix @ jnp.tanh(weights @ jnp.tanh(weights.T @ jnp.tanh(weights @ x)))

    def flops(wrt):
        bundle = derivatives(fn, 32, method, wrt=wrt, tile=16)
        lowered = jax.jit(bundle).lower(jax.ShapeDtypeStruct((16, 32), np.float32))
        return lowered.compile().cost_analysis()["flops"]

    assert flops([3]) < 0.25 * flops(None)


def test_method_is_one_entry_in_the_table(monkeypatch):
    """Then it can be named, gives every quantity, batches as it likes and is timed in its turn."""
    batched = []

    def reverse_twice(fn, z):
        hessian = jax.jacrev(jax.jacrev(fn))(z)
        return fn(z), jax.jacrev(fn)(z), jnp.diagonal(hessian, axis1=-2, axis2=-1)

    def batch(fn):
        batched.append(fn)
        return jax.vmap(fn)

    monkeypatch.setitem(METHODS, "twice", Method(reverse_twice, batch=batch, turn=lambda shape: -1))
    fn = lambda x: jnp.stack([x[0] ** 3 * x[1], x[1] ** 2])
    bundle = derivatives(fn, 2, "twice", outputs=("hessian_diag", "laplacian", "jacobian"))
    hessian_diag, laplacian, jacobian = bundle([[2.0, 3.0]])
    assert bundle.choice == ("twice", None)
    assert hessian_diag.tolist() == [[[36.0, 0.0], [0.0, 2.0]]]
    assert laplacian.tolist() == [[36.0, 2.0]]
    assert jacobian.tolist() == [[[36.0, 8.0], [0.0, 6.0]]]
    assert derivatives(fn, 2, "twice", outputs=["laplacian"])([[2, 3]]).laplacian.tolist() == [
        [36.0, 2.0]
    ]
    assert len(batched) == 2
    assert candidates(ProgramShape(2, 2, 64))[0] == "twice"
