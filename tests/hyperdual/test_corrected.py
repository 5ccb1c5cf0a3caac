"""Special functions against mpmath, by our methods, by JAX's, and in the reference; products."""

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
AROUND_ONE = [1.0, 1 - 1e-9, 1 + 1e-4, 0.87, 0.88, 1.2, 1e-3, 0.5, 2.0, 40.0]
IN_THE_TAIL = [-1e6, -1000.0, -40.0, -20.1, -20.0, -12.0, -1.0, 0.0, 4.0]
BETA_ARGUMENTS = [9.0, 0.3, 2.5, 8.0, 30.0, 199.0, 201.0, 1e4]


def _log_beta(a, b):
    return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)


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
    "spence": (special.spence, lambda x: mpmath.polylog(2, 1 - x).real, AROUND_ONE),
    "log_ndtr": (
        special.log_ndtr,
        lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
        IN_THE_TAIL,
    ),
    "betaln": (lambda x: special.betaln(x, 9.0), lambda x: _log_beta(x, 9), BETA_ARGUMENTS),
    "betaln_of_half": (
        lambda x: special.betaln(0.5, x),
        lambda x: _log_beta(x, mpmath.mpf(0.5)),
        BETA_ARGUMENTS,
    ),
    "beta": (
        lambda x: special.beta(x, 2.5),
        lambda x: mpmath.beta(x, mpmath.mpf(2.5)),
        BETA_ARGUMENTS[:5],
    ),
    "polygamma_0": (lambda x: special.polygamma(0, x), mpmath.digamma, AT_NEGATIVE),
}


def _exact(function, points):
    with mpmath.workdps(50):
        return [
            np.array([float(mpmath.diff(function, mpmath.mpf(x), order)) for x in points])
            for order in range(3)
        ]


@pytest.mark.one_in(20)
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


ALONG_ANOTHER_AXIS = {
    "spence": (special.spence, lambda x: mpmath.polylog(2, 1 - x).real, 1.0),
    "log_ndtr": (special.log_ndtr, FUNCTIONS["log_ndtr"][1], -25.0),
    "betaln": (lambda x: special.betaln(x, 9.0), lambda x: _log_beta(x, 9), 9.0),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), 0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONG_ANOTHER_AXIS)
def test_special_functions_are_right_under_vmap_along_another_axis(name):
    """JAX turns the result of some: (2, 2) may be the one or the other order of axes."""
    function, exact, at = ALONG_ANOTHER_AXIS[name]
    points = at + np.array([0.0, 0.25, 0.5, 0.75])
    wanted = _exact(exact, points)
    weights = np.array([[1.0, 2.0], [3.0, 5.0]])  # which entry is which

    def fn(x):
        return (jax.vmap(function, in_axes=1, out_axes=1)(x.reshape(2, 2)) * weights).ravel()

    results = derivatives(fn, 4, "hyperdual", dtype="float64", tile=1)(points[None])
    for result, right in zip(results, wanted, strict=True):
        expected = right * weights.ravel()
        expected = expected if result.ndim == 2 else np.diag(expected)
        np.testing.assert_allclose(result[0], expected, rtol=1e-9, atol=1e-13)


@pytest.mark.slow
def test_orders_of_polygamma_that_differ_or_are_computed():
    """Each entry has its own order; a computed one has no right value for negative arguments."""
    points = [-1.7, -10.3, 2.5, 0.4]
    orders = [0, 1, 2, 3]
    wanted = [_exact(lambda x, n=n: mpmath.psi(n, x), [at]) for n, at in zip(orders, points)]  # noqa: B905
    fn = lambda x: special.polygamma(np.array(orders), x)
    results = derivatives(fn, 4, "hyperdual", dtype="float64", tile=1)([points])
    for order, result in enumerate(results):
        right = np.array([each[order].item() for each in wanted])
        right = right if result.ndim == 2 else np.diag(right)
        np.testing.assert_allclose(result[0], right, rtol=1e-9)

    computed = lambda x: special.polygamma(jnp.floor(x[1]).astype(int), x[0])
    for method in ("hyperdual", "hyperdual_adjoint", "double_forward"):
        bundle = derivatives(computed, 2, method, dtype="float64", tile=1)
        y, jacobian, hessian_diag = bundle([[2.5, 2.0], [-10.3, 2.0]])
        y_exact, slope, curvature = np.ravel(_exact(lambda x: mpmath.psi(2, x), [2.5]))
        np.testing.assert_allclose(y[0], y_exact)
        np.testing.assert_allclose(jacobian[0], [[slope, 0]])
        np.testing.assert_allclose(hessian_diag[0], [[curvature, 0]])
        assert all(np.isnan(each[1, 0]).any() for each in (y, jacobian, hessian_diag))


def test_float32_in_the_tail_of_the_normal_distribution():
    x = np.array([[-300.0], [-30.0], [-10.5]])
    results = derivatives(special.log_ndtr, 1, "hyperdual", tile=4)(x)
    for result, right in zip(results, _exact(FUNCTIONS["log_ndtr"][1], x.ravel()), strict=True):
        np.testing.assert_allclose(np.ravel(result), right, rtol=1e-6)


def test_reference_does_not_share_the_fault():
    """It was JAX's own on both sides: the error was 0."""
    points = np.array([[-10.3], [-16.5]])
    wrong = lambda x: jnp.stack([special.gammaln(x[0]), jnp.sin(x[0])])
    assert max(verify(wrong, points, "hyperdual", dtype="float64", tile=2)) < 1e-12
    assert verify(wrong, points, "hyperdual", tile=2).hessian_diag < 1e-3


@pytest.mark.slow
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


@pytest.mark.one_in(2)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_keep_their_type_and_bits_for_positive_arguments(dtype):
    fn = lambda x: special.polygamma(2, x) + special.gammaln(x) + special.i1e(x)
    x = np.linspace(0.5, 9, 20)
    with jax.enable_x64(dtype == "float64"):
        x = x.astype(dtype)
        result = corrected(fn)(x)
        np.testing.assert_array_equal(result, fn(x))
        assert result.dtype == dtype


def _layers(narrow, wide):
    rng = np.random.default_rng(0)
    shapes = [(16, 4), (16, 16), (2, 16)]
    weights = [rng.standard_normal(s) / np.sqrt(s[1]) for s in shapes]

    def fn(x):
        for matrix in weights:
            x = lax.dot(
                jnp.asarray(matrix, narrow[0]),
                jnp.tanh(x).astype(narrow[1]),
                preferred_element_type=wide,
            )
        return x.astype(jnp.float32)

    return fn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (("bfloat16", "bfloat16"), "float32"),
        (("float16", "float16"), "float32"),
        (("bfloat16", "float32"), "float32"),
        (("float32", "float32"), "bfloat16"),
    ],
)
def test_layers_of_several_types_are_derived_by_every_kind_of_method(narrow, wide):
    """XLA refuses a batch of the first, with nothing of this package: BF16 x BF16 = F32."""
    points = np.random.default_rng(1).uniform(-1, 1, (16, 4)).astype("float32")
    exact = derivatives(_layers(("float32", "float32"), "float32"), 4, "hyperdual", tile=16)(points)
    for method in ("hyperdual_columns", "hyperdual_adjoint", "double_forward"):
        results = derivatives(_layers(narrow, wide), 4, method, tile=16)(points)
        for result, right in zip(results, exact, strict=True):
            np.testing.assert_allclose(result, right, atol=0.03 * np.abs(right).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("residuals", "exact"),
    [
        (lambda x: jnp.array([2.0, 3.0]), lambda x: jnp.array([2.0, 3.0]) * x**2),
        (jnp.sin, lambda x: jnp.sin(x) * x**2),  # JAX asserts that they do not depend on x
    ],
)
def test_linear_calls_are_derived_by_every_method(residuals, exact):
    times = lambda r, v: r * v
    called = lambda x: jax.custom_derivatives.linear_call(times, times, residuals(x), x**2)
    points = np.array([[0.3, -1.2], [2.0, 0.7]])
    wanted = derivatives(exact, 2, "double_forward", dtype="float64")(points)
    for method in ("hyperdual", "hyperdual_adjoint", "double_forward", "reverse_over_reverse"):
        results = derivatives(lambda x: jax.jit(called)(x), 2, method, dtype="float64")(points)
        for result, right in zip(results, wanted, strict=True):
            np.testing.assert_allclose(result, right, rtol=1e-12, atol=1e-14)


def _twice(x):
    return lax.scan(lambda carry, _: (special.spence(carry) + 0.7, None), x, None, length=2)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        lambda x: jax.grad(lambda x: special.spence(x).sum())(x),
        lambda x: jax.jvp(special.spence, (x,), (x,))[1],
        lambda x: jax.jacrev(special.spence)(x).ravel(),
        lambda x: jax.grad(lambda x: _twice(x).sum())(x),
        lambda x: jax.vmap(jax.grad(_twice))(x),
        lambda x: jax.linearize(_twice, x)[1](x),
    ],
    ids=["grad", "jvp", "jacrev", "grad of scan", "vmap of grad of scan", "linearize"],
)
def test_derivative_of_spence_within_a_function_is_left_to_jax(network):
    with jax.enable_x64(True):
        x = jnp.asarray([0.6, 0.85])
        np.testing.assert_allclose(corrected(network)(x), network(x), rtol=1e-14)
