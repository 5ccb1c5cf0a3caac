"""Where a walk over a program could go wrong without a word: each of these once did, or might."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS, RuleError, derivatives, verify
from hyperdiag.hyperdual._jaxpr import shape_of
from hyperdiag.hyperdual._tuner import candidates

from .programs._check import QUICK, WALKS

X = np.array([[0.3, -0.7, 1.1, 0.4], [-0.2, 0.5, 0.9, -1.3]])


def _exact(fn, method, x=X, n=4, first=jax.jacrev):
    bundle = derivatives(fn, n, method, dtype="float64", tile=2)
    vector = lambda z: jnp.atleast_1d(fn(z))
    nested = lambda z: (first(vector)(z), jax.jacfwd(first(vector))(z))
    together = lambda points: (bundle(points), *jax.vmap(nested)(points))
    with jax.enable_x64(True):
        found, jacobian, hessian = jax.jit(together, compiler_options=QUICK)(x)
    np.testing.assert_allclose(found.jacobian, jacobian, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found.hessian_diag, np.einsum("rjii->rji", hessian), rtol=0, atol=1e-12
    )


@jax.custom_jvp
def _rolled(a):
    return jnp.cos(a)


_rolled.defjvp(lambda p, t: (_rolled(*p), jnp.roll(t[0], 1) * p[0]))


@jax.custom_jvp
def _outer(a):
    return jnp.sin(a)


_outer.defjvp(lambda p, t: (_outer(*p), _rolled(p[0]) * t[0]))


@pytest.mark.parametrize("method", WALKS)
def test_rule_that_calls_a_rule_which_mixes_entries_is_not_taken_for_elementwise(method):
    _exact(_outer, method)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_branch_not_taken_may_have_infinite_slope(method):
    fn = lambda x: jnp.where(x[0] == 0, x[1] ** 2, jnp.sqrt(x[0]))
    found = derivatives(fn, 2, method, dtype="float64", tile=1)(np.array([[0.0, 2.0]]))
    assert found.jacobian.tolist() == [[[0.0, 4.0]]]
    assert found.hessian_diag.tolist() == [[[0.0, 2.0]]]


@pytest.mark.parametrize("method", OWN_METHODS)
def test_entry_that_is_dropped_may_have_infinite_curvature(method):
    fn = lambda x: (x**1.5)[1:]
    found = derivatives(fn, 2, method, dtype="float64", tile=1)(np.array([[0.0, 4.0]]))
    np.testing.assert_allclose(found.hessian_diag, [[[0.0, 0.375]]], atol=1e-15)


def _while_in_a_branch(x):
    turn = lambda s: (s[0] + 1, jnp.sin(s[1]) * 2)
    loop = lambda h: lax.while_loop(lambda s: s[0] < 3, turn, (0, h))[1].sum()
    return lax.cond(x[0] > 0, loop, lambda h: (h**2).sum(), jnp.sin(x))


@pytest.mark.parametrize("method", OWN_METHODS)
def test_while_in_a_branch_is_passed_forward(method):
    _exact(_while_in_a_branch, method, first=jax.jacfwd)


@pytest.mark.parametrize("method", WALKS)
def test_step_whose_reverse_fails_in_jax_is_passed_forward(method):
    """JAX has no transpose for a pad whose width alone depends on x."""
    fn = lambda x: jnp.tanh(lax.pad(jnp.ones(2, x.dtype), x[0] ** 2, [(1, 1, 0)]) * x)
    _exact(fn, method, first=jax.jacfwd)


@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("length", [0, 1])
def test_scan_of_no_or_one_turn_is_exact(method, length):
    def fn(x):
        last, made = lax.scan(lambda h, a: (jnp.sin(h * a), h**2), x[0] ** 2, x[:length])
        return jnp.append(made, last * x[1])

    _exact(fn, method)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_state_that_the_loop_resets_passes_nothing_back(method):
    def fn(x):
        turn = lambda s, a: ((jnp.sin(s[0]) * a, jnp.ones(())), s[0] * s[1])
        (last, one), made = lax.scan(turn, (x[0], x[1] ** 2), x)
        return jnp.append(made, last * one)

    _exact(fn, method)


@jax.custom_batching.custom_vmap
def _sine_squared(x, y):
    return jnp.sin(x) ** 2 * y


@_sine_squared.def_vmap
def _(size, in_batched, x, y):
    return jnp.sin(x) ** 2 * y, True


@pytest.mark.parametrize("method", OWN_METHODS)
def test_function_with_a_rule_for_batches_is_exact(method):
    """JAX cannot differentiate it where some operands have no tangent."""
    found = derivatives(lambda x: _sine_squared(x, 2.0), 4, method, dtype="float64", tile=2)(X)
    diagonal = np.einsum("rii->ri", found.hessian_diag)
    np.testing.assert_allclose(diagonal, 4 * np.cos(2 * X), atol=1e-12)
    assert np.count_nonzero(found.hessian_diag) == X.size


@pytest.mark.one_in(32)
@pytest.mark.parametrize("method", METHODS)
def test_rank_promotion_that_raises_concerns_the_function_alone(method):
    fn = lambda x: jnp.sin(jnp.ones((3, 4), x.dtype) @ jnp.cos(x) / 3) ** 2 * jnp.tanh(x[0])
    with jax.numpy_rank_promotion("raise"):
        found = derivatives(fn, 4, method, dtype="float64", tile=2, wrt=[0, 2])(X)
        with pytest.raises(ValueError, match="rank_promotion"):
            derivatives(lambda x: (jnp.outer(x, x) + x)[0], 4, method)
    wanted = derivatives(fn, 4, "double_forward", dtype="float64", wrt=[0, 2])(X)
    np.testing.assert_allclose(found.hessian_diag, wanted.hessian_diag, rtol=0, atol=1e-12)


def test_function_without_outputs_is_refused():
    with pytest.raises(ValueError, match="at least one number"):
        derivatives(lambda x: x[:0], 4)


@jax.custom_vjp
def _backwards(x):
    return jnp.sin(x)


_backwards.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))


@pytest.mark.parametrize("names", [("jacobian",), ("hessian", "value"), ("laplacian",)])
def test_outputs_of_a_custom_vjp_are_exact_with_more_outputs_than_inputs(names):
    fn = lambda x: jnp.outer(_backwards(x), x).reshape(-1)
    same = lambda x: jnp.outer(jnp.sin(x), x).reshape(-1)
    found = derivatives(fn, 4, "hyperdual", dtype="float64", tile=2, outputs=names)(X)
    wanted = derivatives(same, 4, "dense_hessian", dtype="float64", outputs=names)(X)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.one_in(9)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_bundle_can_be_differentiated_further(method):
    bundle = derivatives(lambda x: jnp.sin(x) * x[0], 2, method, tile=2)
    x = np.array([[0.3, 0.7], [1.1, -0.4]], np.float32)
    third = jax.grad(lambda z: bundle(z).hessian_diag.sum())(x)
    # sum_j d2/dx0^2 and d2/dx1^2 of x0 sin x0 + x0 sin x1, differentiated by hand.
    a, b = x[:, 0], x[:, 1]
    by_a = -3 * np.sin(a) - a * np.cos(a) - np.sin(b)
    np.testing.assert_allclose(third, np.stack([by_a, -a * np.cos(b)], axis=1), atol=1e-5)


@jax.custom_jvp
def _straight_through(x):
    return jnp.round(x)


_straight_through.defjvp(lambda p, t: (jnp.round(p[0]), t[0]))


@pytest.mark.parametrize("method", WALKS)
def test_rule_of_its_own_is_the_derivative_in_both_orders(method):
    """As documented: JAX nested would take the derivative of `round`, zero, for the second."""
    fn = lambda x: jnp.sin(_straight_through(3 * x))
    x = np.full((1, 4), 0.4)
    found = derivatives(fn, 4, method, dtype="float64", tile=1)(x)
    np.testing.assert_allclose(np.diagonal(found.hessian_diag[0]), -9 * np.sin(1.0), atol=1e-12)
    assert verify(fn, x, method, dtype="float64", tile=1).hessian_diag > 0.5


@pytest.mark.parametrize("rounding", [_straight_through, jnp.tanh])
def test_auto_does_not_let_timing_decide_what_a_rule_of_its_own_means(rounding):
    shape = shape_of(lambda x: rounding(x) * x, 2, 2, "float32", "cpu")
    assert ("double_forward" in candidates(shape)) == (rounding is jnp.tanh)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_bundle_inside_jit_and_vmap_of_user_code_is_exact(method):
    """The function closes over a tracer: the parameters that somebody maps over."""
    scales = jnp.array([0.5, 2.0])

    @jax.jit
    def mapped(scales):
        bundle = lambda scale: derivatives(lambda x: jnp.sin(scale * x), 4, method, tile=2)
        return jax.vmap(lambda scale: bundle(scale)(X).hessian_diag)(scales)

    for scale, found in zip(scales, mapped(scales), strict=True):
        diagonal = jnp.diagonal(found, axis1=1, axis2=2)
        np.testing.assert_allclose(diagonal, -(scale**2) * np.sin(scale * X), atol=1e-5)


def test_auto_inside_jit_times_nothing_and_remembers_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path))
    jax.jit(lambda x, s: derivatives(lambda z: jnp.sin(1.2345 * s * z), 4)(x))(X, 2.0)
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("method", OWN_METHODS)
def test_direction_that_is_not_finite_does_not_spoil_the_others(method):
    fn = lambda x: jnp.stack([jnp.sqrt(x[0]), x[1] ** 3])
    found = derivatives(fn, 2, method, dtype="float64", tile=1)(np.array([[0.0, 2.0]]))
    assert found.hessian_diag[0, 1].tolist() == [0.0, 12.0]


@pytest.mark.parametrize("method", WALKS)
def test_error_names_the_primitive_and_the_line(method):
    def fn(x):
        return lax.igamma(jnp.sin(x), x)

    with pytest.raises(RuleError, match=r"'igamma' twice, at test_edges\.py:\d+ \(.*fn\)"):
        derivatives(fn, 4, method, tile=2)(X)
