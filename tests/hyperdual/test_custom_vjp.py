"""`custom_vjp` as people write it, against the same function without a rule."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS, QUANTITIES, RuleError, derivatives, verify
from hyperdiag.hyperdual._custom_vjp import forward_mode

from .programs._check import QUICK, assert_close, reference


@jax.custom_vjp
def _sine_times(x, y):
    return jnp.sin(x) * y


def _sine_times_forward(x, y):  # as in JAX's documentation: it calls the function itself
    return _sine_times(x, y), (jnp.cos(x), jnp.sin(x), y)


_sine_times.defvjp(_sine_times_forward, lambda kept, ct: (kept[0] * kept[2] * ct, kept[1] * ct))


@jax.custom_vjp
def _sigmoid(x):
    return 1 / (1 + jnp.exp(-x))


_sigmoid.defvjp(lambda x: (_sigmoid(x),) * 2, lambda y, ct: (ct * y * (1 - y),))


@jax.custom_vjp
def _gate(x):
    return _sigmoid(x) * x


_gate.defvjp(
    lambda x: (_gate(x), x),
    lambda x, ct: (ct * (_sigmoid(x) + x * _sigmoid(x) * (1 - _sigmoid(x))),),
)


@jax.custom_vjp
def _rectified(x):
    return jnp.maximum(x, 0)


_rectified.defvjp(lambda x: (_rectified(x), x > 0), lambda kept, ct: (jnp.where(kept, ct, 0),))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _applied(f, x):
    return f(x)


_applied.defvjp(lambda f, x: (_applied(f, x), x), lambda f, x, ct: jax.vjp(f, x)[1](ct))


@jax.custom_vjp
def _looked_up(x, at, table):
    return x[at] * table


_looked_up.defvjp(
    lambda x, at, table: (_looked_up(x, at, table), (x, at, table)),
    lambda kept, ct: (jnp.zeros_like(kept[0]).at[kept[1]].add(ct @ kept[2]), None, ct),
)


def _plain_gate(x):
    return jax.nn.sigmoid(x) * x


def _twice(f):
    return lambda x: lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, f(s[1])), (0, x))[1]


PROGRAMS = {  # name: (with rules, the same function without)
    "calls itself": (
        lambda x: _sine_times(x[0] ** 2, x[1]) * x[0],
        lambda x: jnp.sin(x[0] ** 2) * x[1] * x[0],
    ),
    "keeps its value": (lambda x: _sigmoid(x**2), lambda x: jax.nn.sigmoid(x**2)),
    "calls another": (lambda x: _gate(x**2), lambda x: _plain_gate(x**2)),
    "keeps a mask": (
        lambda x: _rectified(jnp.sin(4 * x)) * x,
        lambda x: jnp.maximum(jnp.sin(4 * x), 0) * x,
    ),
    "takes a function": (lambda x: _applied(jnp.sin, x) * x, lambda x: jnp.sin(x) * x),
    "takes places and constants": (
        lambda x: _looked_up(x**2, 1, jnp.arange(3.0)),
        lambda x: x[1] ** 2 * jnp.arange(3.0),
    ),
    "in a scan": (
        lambda x: lax.scan(lambda c, a: (_gate(c * a), None), x, x)[0],
        lambda x: lax.scan(lambda c, a: (_plain_gate(c * a), None), x, x)[0],
    ),
    "in a while": (
        lambda x: _twice(_gate)(x) * x,
        lambda x: _plain_gate(_plain_gate(x)) * x,
    ),
    "in a branch, mapped, under jit": (
        lambda x: lax.cond(x[0] > 0, jax.vmap(jax.jit(_gate)), jnp.sin, x),
        _plain_gate,
    ),
    "in a checkpoint": (lambda x: jax.checkpoint(_gate)(x) * x, lambda x: _plain_gate(x) * x),
}  # fmt: skip
POINT = np.array([0.4, 0.9])


@pytest.mark.one_in(16)
@pytest.mark.parametrize("name", PROGRAMS)
def test_methods_on_a_rule_as_people_write_it_equal_the_dense_hessian(name):
    with_rules, plain = PROGRAMS[name]
    vector = lambda z: jnp.atleast_1d(with_rules(z))
    ours = lambda z: [METHODS[method].function(vector, z) for method in OWN_METHODS]
    nested = lambda z: METHODS["double_forward"].function(forward_mode(vector), z)
    together = lambda z: (reference(plain, z), [*ours(z), nested(z)])
    with jax.enable_x64(True):
        wanted, all_found = jax.jit(together, compiler_options=QUICK)(jnp.asarray(POINT))
    for method, found in zip([*OWN_METHODS, "forward mode"], all_found, strict=True):
        assert_close(found, wanted, note=f"by {method}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calls another", "calls itself", "in a scan"])
def test_rule_without_forward_mode_is_verified_by_backpropagation_twice(name):
    fn, plain = PROGRAMS[name]
    points = np.stack([POINT, -POINT])
    assert max(verify(fn, points, method="hyperdual", tile=2)) < 1e-5
    with jax.enable_x64(True):
        vector = lambda z: jnp.atleast_1d(fn(z))
        checked = METHODS["reverse_over_reverse"].function(vector, jnp.asarray(POINT))
        assert_close(checked, reference(plain, jnp.asarray(POINT)))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["calls itself", "in a while"])
def test_every_quantity_of_a_rule_is_that_of_the_plain_function(name):
    points, along = np.stack([POINT, -POINT]), np.array([[0.3, -1.0], [2.0, 0.1]])
    found, wanted = (
        derivatives(fn, 2, method, dtype="float64", tile=2, outputs=QUANTITIES)(points, along)
        for fn, method in zip(PROGRAMS[name], ("hyperdual", "dense_hessian"), strict=True)
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@jax.custom_vjp
def _clipped_gradient(x):
    return x


_clipped_gradient.defvjp(lambda x: (x, None), lambda _, ct: (jnp.clip(ct, -1, 1),))


@pytest.mark.parametrize("method", OWN_METHODS)
def test_rule_that_clips_gradients_is_refused_by_name(method):
    fn = lambda x: jnp.sin(_clipped_gradient(x**2))
    with pytest.raises(
        RuleError, match=r"of '_clipped_gradient' twice, at test_custom_vjp\.py.*not linear in"
    ):
        derivatives(fn, 2, method, tile=1)(POINT[None])


@jax.custom_vjp
def _rooted(a):
    """y with y = cos(a y), by iteration: no reverse of its own."""
    return lax.while_loop(lambda s: s[0] < 60, lambda s: (s[0] + 1, jnp.cos(a * s[1])), (0, a))[1]


def _rooted_backward(kept, ct):  # as adjoint solvers do it: another iteration
    a, y = kept
    turn = lambda s: (s[0] + 1, ct - s[1] * a * jnp.sin(a * y))
    adjoint = lax.while_loop(lambda s: s[0] < 90, turn, (0, ct))[1]
    return (-adjoint * y * jnp.sin(a * y),)


_rooted.defvjp(lambda a: (_rooted(a), (a, _rooted(a))), _rooted_backward)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_backward_rule_with_a_loop_is_taken_entry_by_entry(method):
    found = derivatives(lambda x: _rooted(x) * x, 2, method, dtype="float64", tile=1)(POINT[None])
    # With g(a, y) = cos(a y) - y = 0: y' = -g_a / g_y, and once more.
    y = POINT.copy()
    for _ in range(200):
        y = np.cos(POINT * y)
    s, c = np.sin(POINT * y), np.cos(POINT * y)
    first = -y * s / (1 + POINT * s)
    curved = -(s * first + c * (y + POINT * first) * y)
    rate = -(s + POINT * c * (y + POINT * first)) * first
    second = (curved + rate) / (1 + POINT * s)
    np.testing.assert_allclose(np.diag(found.jacobian[0]), y + POINT * first, atol=1e-10)
    np.testing.assert_allclose(
        np.diag(found.hessian_diag[0]), 2 * first + POINT * second, atol=1e-9
    )
