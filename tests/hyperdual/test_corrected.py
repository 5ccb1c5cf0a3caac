"""Special functions against mpmath, by our methods, by JAX's, and in the reference."""

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import mpmath
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import derivatives, verify
from hyperdiag.hyperdual._corrected import corrected

AT_NEGATIVE = [0.3, 1.0, 7.5, -0.5, -1.7, -10.3, -16.5, -100.2]
AROUND_ZERO = [0.0, 1e-9, -1e-4, 0.5, -1.99, 2.01, 8.0, -20.0]
FUNCTIONS = {
    "gammaln": (special.gammaln, lambda x: mpmath.log(abs(mpmath.gamma(x))), AT_NEGATIVE),
    "digamma": (special.digamma, mpmath.digamma, AT_NEGATIVE),
    "trigamma": (lambda x: special.polygamma(1, x), lambda x: mpmath.psi(1, x), AT_NEGATIVE[:-1]),
    "polygamma_3": (lambda x: special.polygamma(3, x), lambda x: mpmath.psi(3, x), AT_NEGATIVE[:6]),
    "gamma": (special.gamma, mpmath.gamma, AT_NEGATIVE[:-2]),
    "i0": (special.i0, lambda x: mpmath.besseli(0, x), AROUND_ZERO),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), AROUND_ZERO),
    "i1_over_i0": (
        lambda x: special.i1e(x) / special.i0e(x),
        lambda x: mpmath.besseli(1, x) / mpmath.besseli(0, x),
        AROUND_ZERO,
    ),
}


def _exact(function, points):
    with mpmath.workdps(50):
        return [
            np.array([float(mpmath.diff(function, mpmath.mpf(x), order)) for x in points])
            for order in range(3)
        ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_functions_are_right_in_every_kind_of_method(name):
    function, exact, points = FUNCTIONS[name]
    wanted = _exact(exact, points)
    x = np.array(points)[:, None]
    for method in ("hyperdual", "hyperdual_adjoint", "double_forward"):
        results = derivatives(lambda z: function(z), 1, method, dtype="float64", tile=8)(x)
        for result, right in zip(results, wanted, strict=True):
            # Near zeros terms of about 1 cancel.
            np.testing.assert_allclose(np.ravel(result), right, rtol=1e-9, atol=1e-15)


def test_reference_does_not_share_the_fault():
    """It was JAX's own on both sides: the error was 0."""
    points = np.array([[-10.3], [-16.5]])
    wrong = lambda x: jnp.stack([special.gammaln(x[0]), jnp.sin(x[0])])
    assert max(verify(wrong, points, "hyperdual", dtype="float64", tile=2)) < 1e-12
    assert verify(wrong, points, "hyperdual", tile=2).hessian_diag < 1e-3


@pytest.mark.parametrize(
    "around",
    [
        lambda f, x: lax.fori_loop(0, 1, lambda _, v: f(v), x),
        lambda f, x: lax.scan(lambda v, _: (f(v), None), x, None, length=1)[0],
        lambda f, x: lax.cond(x[0] < 0, f, jnp.sin, x),
        lambda f, x: jax.checkpoint(f)(x),
        lambda f, x: jax.jit(f)(x),
        lambda f, x: jax.vmap(f)(x[:, None])[:, 0],
    ],
    ids=["fori_loop", "scan", "cond", "checkpoint", "jit", "vmap"],
)
def test_special_functions_are_right_inside_other_steps(around):
    fn = lambda x: around(special.digamma, x)
    wanted = _exact(mpmath.digamma, [-10.3])
    for method in ("hyperdual", "double_forward"):
        results = derivatives(fn, 1, method, dtype="float64", tile=1)([[-10.3]])
        np.testing.assert_allclose([a.item() for a in results], np.ravel(wanted), rtol=1e-10)


def test_programs_without_them_are_left_as_they_are():
    fn = lambda x: jnp.sin(x) @ x
    point = jnp.ones(3)
    assert str(jax.make_jaxpr(corrected(fn))(point)) == str(jax.make_jaxpr(fn)(point))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_keep_their_type_and_bits_for_positive_arguments(dtype):
    fn = lambda x: special.polygamma(2, x) + special.gammaln(x) + special.i1e(x)
    x = np.linspace(0.5, 9, 20)
    with jax.enable_x64(dtype == "float64"):
        x = x.astype(dtype)
        result = corrected(fn)(x)
        np.testing.assert_array_equal(result, fn(x))
        assert result.dtype == dtype
