"""Programs that only float32 can trace, beside the same ones written for any dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import reference, verify

from .programs._check import reference as dense

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((2, 1, 3)).astype(np.float32)
WEIGHTS = RNG.standard_normal((4, 6)).astype(np.float32)
POINT = RNG.standard_normal(6)


def _convolved(kernel, x):
    maps = jax.lax.conv_general_dilated(x.reshape(1, 1, 6), kernel, (1,), "SAME")
    return jnp.tanh(maps).reshape(-1)


def _scanned(start, x):
    return jax.lax.scan(lambda c, w: (jnp.tanh(c * w + x), None), start, WEIGHTS.astype(x.dtype))[0]


def _looped(start, x):
    turn = lambda s: (s[0] + 1, (jnp.sin(s[1]) + x).astype(start.dtype))
    return jax.lax.while_loop(lambda s: s[0] < 3, turn, (0, start))[1]


def _branched(dtype, x):
    odd = lambda z: jnp.asarray(z, dtype) ** 3
    return jax.lax.cond(x[0] > 9, lambda z: jnp.sin(z).astype(dtype), odd, x)


def _rounded_on_the_way(dtype, x):
    return jnp.exp(jnp.sin(x).astype(dtype))


def _solved(matrix, x):
    return jnp.linalg.solve(matrix.T @ matrix, jnp.sin(x).astype(matrix.dtype))


def _with_rule(dtype, x):
    @jax.custom_vjp
    def sine(z):
        return jnp.sin(z)

    sine.defvjp(lambda z: (jnp.sin(z), z), lambda z, ct: ((ct * jnp.cos(z)).astype(dtype),))
    return sine(_convolved(jnp.asarray(KERNEL, dtype), x)[:6] * x)


# Each with what stands for the dtype in it, in float32 and in that of the point.
CASES = {
    "convolution": (_convolved, lambda d: jnp.asarray(KERNEL, d)),
    "scan": (_scanned, lambda d: jnp.zeros(6, d)),
    "while": (_looped, lambda d: jnp.zeros(6, d)),
    "cond": (_branched, lambda d: d),
    "rounding": (_rounded_on_the_way, lambda d: d),
    "solve": (_solved, lambda d: jnp.asarray(WEIGHTS.repeat(2, 0)[:6] + np.eye(6, dtype="f"), d)),
    "custom_vjp": (_with_rule, lambda d: d),
}


@pytest.mark.one_in(12)
@pytest.mark.parametrize("name", CASES)
def test_reference_of_a_float32_program_is_that_of_the_same_program_in_float64(name):
    fn, part = CASES[name]
    single = part(np.dtype("float32"))
    found = reference(lambda x: fn(single, x), 6, dtype="float32")(POINT[None])
    first = jax.jacfwd if name == "while" else jax.jacrev
    with jax.enable_x64(True):
        wanted = jax.jit(lambda x: dense(lambda z: fn(part(x.dtype), z), x, first))(POINT)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a[0], b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


@pytest.mark.one_in(2)
@pytest.mark.parametrize("inside", [True, False])
def test_random_weights_are_those_of_float32(inside):
    """Drawn without a dtype, they are other numbers in float64."""
    draw = lambda: jax.random.normal(jax.random.key(0), (4, 6))
    drawn = draw()
    fn = lambda x: jnp.tanh((draw() if inside else drawn) @ x)
    value = np.tanh(np.asarray(drawn, np.float64) @ POINT)
    found = reference(fn, 6, dtype="float32")(POINT[None])
    np.testing.assert_allclose(found.value[0], value, rtol=1e-15, atol=1e-15)
    jacobian = (1 - value**2)[:, None] * np.asarray(drawn, np.float64)
    np.testing.assert_allclose(found.jacobian[0], jacobian, rtol=1e-13, atol=1e-15)
    assert max(verify(fn, POINT[None], "hyperdual", tile=1)) < 1e-5


def test_random_numbers_in_a_loop_are_those_of_float32():
    def fn(x):
        noise = lambda key: jax.random.uniform(key, (6,), x.dtype)
        step = lambda c, key: (jnp.sin(c + noise(key)), None)
        return jax.lax.scan(step, x, jax.random.split(jax.random.key(1), 3))[0]

    found = np.asarray(reference(fn, 6, dtype="float32")(POINT[None]).value)
    np.testing.assert_allclose(found[0], fn(POINT.astype(np.float32)), atol=1e-6)


@pytest.mark.slow
def test_verify_counts_what_rounding_the_points_loses():
    seconds = 1.7e9 + np.array([[1.0], [50.0], [99.0]])
    fn = lambda t: jnp.sin((t - 1.7e9) / 50)
    assert verify(fn, seconds, "hyperdual", tile=1).value > 0.5
    assert max(verify(fn, seconds, "hyperdual", dtype="float64", tile=1)) < 1e-9


@pytest.mark.slow
def test_rounding_inside_a_float64_function_is_an_error():
    fn = lambda x: jnp.exp(jnp.sin(x).astype(jnp.float32))
    assert 1e-9 < verify(fn, POINT[None], "hyperdual", dtype="float64", tile=1).value < 1e-6
