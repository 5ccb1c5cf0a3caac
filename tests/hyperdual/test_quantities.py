"""What can be asked for, against the Hessian of all of it."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS, QUANTITIES, derivatives
from hyperdiag.hyperdual import _quantities as quantities_module

from .programs._check import QUICK

WEIGHTS = np.random.default_rng(0).standard_normal((5, 4))
POINTS = np.random.default_rng(1).standard_normal((3, 4))
ALONG = np.random.default_rng(2).standard_normal((3, 4))


def _net(x):
    w = jnp.asarray(WEIGHTS, x.dtype)
    return jnp.tanh(w @ jnp.sin(w.T @ jnp.tanh(w @ x)))[:3]


@pytest.fixture(scope="module")
def wanted():
    with jax.enable_x64(True):
        x = jnp.asarray(POINTS)
        hessian = jax.vmap(jax.jacfwd(jax.jacfwd(_net)))(x)
        return {
            "value": jax.vmap(_net)(x),
            "jacobian": jax.vmap(jax.jacfwd(_net))(x),
            "hessian_diag": jnp.einsum("rjii->rji", hessian),
            "laplacian": jnp.einsum("rjii->rj", hessian),
            "hvp": jnp.einsum("rjik,rk->rji", hessian, ALONG),
            "hessian": hessian,
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("value",),
        ("jacobian",),
        ("laplacian",),
        ("laplacian", "hessian_diag"),
        ("hessian", "value", "laplacian"),
        ("hvp", "jacobian"),
        QUANTITIES,
    ],
)
def test_outputs_asked_for_come_in_their_order_and_are_exact(names, wanted):
    bundles = [derivatives(_net, 4, m, dtype="float64", tile=2, outputs=names) for m in METHODS]
    given = (POINTS, ALONG) if "hvp" in names else (POINTS,)
    together = lambda *given: [bundle(*given) for bundle in bundles]
    with jax.enable_x64(True):
        all_found = jax.jit(together, compiler_options=QUICK)(*given)
    for method, found in zip(METHODS, all_found, strict=True):
        assert found._fields == names
        for name, array in zip(names, found, strict=True):
            assert array.shape == wanted[name].shape
            note = f"{name} by {method}"
            np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-11, err_msg=note)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_outputs_with_wrt_are_the_columns_of_the_full_ones(method, wanted):
    bundle = derivatives(_net, 4, method, [3, 1], "float64", 2, outputs=("laplacian", "hessian"))
    laplacian, hessian = bundle(POINTS)
    full = np.asarray(wanted["hessian"])[:, :, [3, 1]][..., [3, 1]]
    np.testing.assert_allclose(hessian, full, atol=1e-11)
    np.testing.assert_allclose(laplacian, np.einsum("rjii->rj", full), atol=1e-11)


@pytest.mark.one_in(9)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_less_is_cheaper(method):
    weights = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
    fn = lambda x: jnp.tanh(weights @ jnp.tanh(weights @ jnp.tanh(weights @ x)))[:4]

    def flops(*names):
        bundle = derivatives(fn, 48, method, tile=16, outputs=names)
        lowered = jax.jit(bundle).lower(jax.ShapeDtypeStruct((16, 48), np.float32))
        return lowered.compile().cost_analysis()["flops"]

    assert flops("value") < 0.25 * flops("jacobian")
    assert flops("jacobian") < 0.5 * flops("laplacian")
    if method == "hyperdual":
        assert flops("laplacian") < 0.65 * flops("hessian_diag")
    else:
        assert flops("laplacian") < flops("hessian_diag")
    assert flops("hessian_diag") < 0.5 * flops("hessian")


def test_hvp_without_a_direction_is_refused():
    with pytest.raises(ValueError, match="needs a direction"):
        derivatives(_net, 4, "hyperdual", tile=2, outputs=["hvp"])(POINTS)
    with pytest.raises(ValueError, match="needs a direction"):
        derivatives(_net, 4, "hyperdual", tile=2)(POINTS, ALONG)


@pytest.mark.parametrize("names", ["value", [], ["values"], ["value", "value"]])
def test_outputs_that_do_not_exist_are_refused(names):
    with pytest.raises(ValueError, match="outputs"):
        derivatives(_net, 4, outputs=names)


def test_docstring_of_derivatives_names_every_quantity_and_no_other():
    (listed,) = re.findall(r"^ +outputs: (.*?)^ +\w+: ", derivatives.__doc__, re.M | re.S)
    assert re.findall(r'"(\w+)"', listed) == [*QUANTITIES]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("method", METHODS)
def test_directions_in_chunks_give_the_same_numbers(method, monkeypatch, wanted):
    monkeypatch.setattr(quantities_module, "_CHUNK_BYTES", 3 * 5 * 8)  # three directions of five
    found = derivatives(_net, 4, method, dtype="float64", tile=2)(POINTS)
    for name, array in zip(found._fields, found, strict=True):
        np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-11)


def _solved_without_transpose(x):
    matrix = 2 * jnp.eye(4) + jnp.outer(x, x)
    solve = lambda _, b: jnp.linalg.solve(matrix, b)
    return lax.custom_linear_solve(lambda v: matrix @ v, jnp.sin(x), solve)


def _padded(x):  # JAX has no transpose for a pad whose width alone depends on x
    return jnp.tanh(lax.pad(jnp.ones(2, x.dtype), x[0] ** 2, [(1, 1, 0)]))


def _looped(x):
    turn = lambda s: (s[0] + 1, jnp.sin(s[1]) * x)
    return lax.while_loop(lambda s: s[0] < 2, turn, (0, x))[1][:2]


FORWARD_ONLY = {  # without a reverse: the same function, with one
    _solved_without_transpose: lambda x: jnp.linalg.solve(
        2 * jnp.eye(4) + jnp.outer(x, x), jnp.sin(x)
    ),
    _padded: lambda x: jnp.tanh(jnp.stack([x[0] ** 2, 1.0, 1.0, x[0] ** 2])),
    _looped: lambda x: (jnp.sin(jnp.sin(x) * x) * x)[:2],
}


@pytest.mark.one_in(9)
@pytest.mark.parametrize("fn", FORWARD_ONLY)
def test_outputs_where_only_a_forward_mode_exists_are_exact(fn):
    names = ("jacobian", "hvp", "hessian")
    with jax.enable_x64(True):
        found, expected = (
            derivatives(f, 4, "hyperdual", dtype="float64", tile=3, outputs=names)(POINTS, ALONG)
            for f in (fn, FORWARD_ONLY[fn])
        )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
