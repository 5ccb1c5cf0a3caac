"""The methods of our own against JAX's, on every program of the table, in float64."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, derivatives

from .programs import PROGRAMS
from .programs._check import QUICK, WALKS, assert_close, each, reference
from .programs._program import weights

ROWS = 3

# One of each kind: these are also run operation by operation, which takes JAX much longer.
WITHOUT_JIT = (
    "mlp_relu_is_flat",
    "bilinear_form",
    "conv_with_cropping_padding",
    "cumulative_sum",
    "sort_with_companions",
    "scan_over_active_inputs",
    "while_of_fixed_count",
    "cond_with_a_branch_without_x",
    "custom_jvp_with_nondiff_argnums",
    "custom_vjp_of_x_itself",
    "magnitude_and_phase",
    "contraction_of_length_zero",
)


@cache
def _wanted(name):
    program = PROGRAMS[name]
    first = jax.jacfwd if program.rule == "forward" else jax.jacrev
    dense = partial(reference, program.fn, first=first)
    return each(dense, program.points(ROWS), QUICK)


def test_table_of_programs_is_long_and_has_all_the_rules():
    assert len(PROGRAMS) >= 110
    assert {program.rule for program in PROGRAMS.values()} == {"jvp", "forward", "reverse"}


def _some(n):
    """More than half of the inputs, in an order of their own."""
    return np.random.default_rng(n).permutation(n)[: n // 2 + 1].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_methods_on_a_program_equal_the_dense_hessian(name):
    """With respect to all inputs; and to some of them, for which two methods take turns.

    One test, and one program for XLA, for all methods: what counts is the time to compile it. What
    `wrt` does is the same for the third of them as for the first.
    """
    _check(name, OWN_METHODS)


@pytest.mark.one_in(20)
@pytest.mark.parametrize("name", PROGRAMS)
def test_method_on_a_program_equals_the_dense_hessian(name):
    """By one method, in turn, with respect to all inputs; and by another to some of them."""
    _check(name, [OWN_METHODS[list(PROGRAMS).index(name) // 2 % len(OWN_METHODS)]])


def _check(name, methods):
    fn, n, *_, flat = PROGRAMS[name]
    wanted = _wanted(name)
    assert all(np.isfinite(array).all() for array in wanted)
    assert (np.abs(wanted[2]).max() > 1e-6) != flat
    turn = WALKS[list(PROGRAMS).index(name) % 2]
    choices = [*((method, None) for method in methods), (turn, _some(n))]
    bundles = [derivatives(fn, n, *choice, dtype="float64", tile=ROWS) for choice in choices]
    with jax.enable_x64(True):
        compiled = jax.jit(lambda x: [bundle(x) for bundle in bundles], compiler_options=QUICK)
        all_found = compiled(PROGRAMS[name].points(ROWS))
    value, jacobian, hessian_diag = wanted
    for (method, wrt), found in zip(choices, all_found, strict=True):
        columns = wrt or list(range(n))
        restricted = value, jacobian[:, :, columns], hessian_diag[:, :, columns]
        assert_close(found, restricted, note=f"by {method} with wrt={wrt}")


@pytest.mark.one_in(16)
@pytest.mark.parametrize("method", WALKS)
@pytest.mark.parametrize("name", WITHOUT_JIT)
def test_method_without_jit_equals_the_dense_hessian(name, method):
    program = PROGRAMS[name]
    vector = lambda z: jnp.atleast_1d(program.fn(z))
    with jax.enable_x64(True), jax.disable_jit():
        found = METHODS[method].function(vector, jnp.asarray(program.points(1)[0]))
    assert_close(found, [array[0] for array in _wanted(name)])


@pytest.mark.one_in(4)
@pytest.mark.parametrize("method", WALKS)
@pytest.mark.parametrize("name", ["mlp_tanh", "scan_over_active_inputs", "custom_jvp_in_a_cond"])
def test_method_called_eagerly_equals_the_dense_hessian(name, method):
    program = PROGRAMS[name]
    with jax.enable_x64(True):
        found = METHODS[method].function(program.fn, jnp.asarray(program.points(1)[0]))
    assert_close(found, [array[0] for array in _wanted(name)])


@jax.custom_jvp
def _bent(scale, h):
    return jnp.sin(scale * h)


@_bent.defjvp
def _(primals, tangents):
    scale, h = primals
    return _bent(scale, h), scale * h**2 * tangents[1] + jnp.cos(h) * tangents[0]


def _loop(w, z):
    body = lambda s: (s[0] + 1, jnp.tanh(w @ s[1]) + z)
    return jax.lax.while_loop(lambda s: s[0] < 3 + (w[0, 0] > 0), body, (0, z))[1]


WITH_PARAMETERS = {
    "dense": lambda w, z: w @ jnp.tanh(w @ z),
    "norm": lambda w, z: jax.nn.standardize(w @ z) * z[0],
    "attention": lambda w, z: jax.nn.softmax(jnp.outer(w @ z, z)) @ jnp.sin(w) @ z,
    "convolution": lambda w, z: jnp.convolve(jnp.sin(z), w[0]) * jnp.convolve(z, w[1]),
    "solve": lambda w, z: jnp.linalg.solve(w @ w.T + jnp.diag(1 + z**2), z),
    "scan": lambda w, z: jax.lax.scan(lambda h, a: (jnp.sin(a * h + z), h[0]), z, w)[1],
    "cond": lambda w, z: jax.lax.cond(w[0, 0] > 0, lambda: z**3, lambda: jnp.sin(w @ z) * z),
    "gather": lambda w, z: jnp.exp(z)[jnp.argsort(w[0])] * (w @ z) ** 2,
    "rule": lambda w, z: _bent(w[0], w @ z) * z,
    "while": _loop,
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_method_under_vmap_over_parameters_equals_one_by_one(name, method):
    fn = WITH_PARAMETERS[name]
    first = jax.jacfwd if name == "while" else jax.jacrev
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(5).standard_normal(3))
        networks = weights(z, (4, 3, 3), seed=2)
        batched = jax.vmap(lambda w: METHODS[method].function(partial(fn, w), z))
        found = jax.jit(batched, compiler_options=QUICK)(networks)
    one_by_one = each(lambda w: reference(partial(fn, w), z, first), networks, QUICK)
    assert_close(found, one_by_one)
