"""Numbers in units of any size, in float32: as right as JAX's nested jvp in the same float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, OWN_METHODS, derivatives
from hyperdiag.hyperdual._factors import SHARE_FOR_SQUARES, share_of_range

# The error that is allowed where nested jvp happens to be exact: some roundings of float32.
ROUNDING = 2e-5
TIMES_NESTED = 10


def _scaled_program(seed):
    """Return a function of 3 inputs in units of their own, and its units.

    Between its steps, which are of the kinds that physics is written in, the values change their
    unit, by factors of 1e-30 to 1e30. Every value, and every D itself, is inside the range of
    float32; squares of derivatives are not.
    """
    rng = np.random.default_rng(seed)
    unit = rng.uniform(-4, 4)
    units = 10.0 ** rng.uniform(-3, 3, 3) * 10.0**unit
    kinds = rng.choice(
        ["rescale", "rescale", "dense", "tanh", "exp", "root", "saturate", "norm", "product", "log",
         "variance", "power", "inverse"],
        rng.integers(3, 8),
    )  # fmt: skip
    matrix = rng.standard_normal((len(kinds), 3, 3))
    exponents = rng.uniform(-18, 18, len(kinds))

    def network(x):
        h, s = x / jnp.asarray(units / 10.0**unit, x.dtype), unit  # all in the unit 10**s
        for step, kind in enumerate(kinds):
            scale = 10.0**s
            # A square in this unit would leave the range: there its program divides first.
            over = h / scale if abs(s) > 16 else h
            one = 1.0 if abs(s) > 16 else scale
            if kind == "rescale":
                h, s = h * 10.0 ** (exponents[step] - s), exponents[step]
            elif kind == "dense":
                h = jnp.asarray(matrix[step], x.dtype) @ h
            elif kind == "tanh":
                h = scale * jnp.tanh(h / scale)
            elif kind == "exp":
                h, s = jnp.exp(-h / scale) + 0.1, 0.0
            elif kind == "root":
                h = jnp.sqrt(over**2 + (0.5 * one) ** 2) * (scale / one)
            elif kind == "saturate":
                h, s = over / (jnp.sqrt(over * over + one**2) + one), 0.0
            elif kind == "norm":
                h, s = over / jnp.sqrt(jnp.sum(over**2) + (0.3 * one) ** 2), 0.0
            elif kind == "product":
                h = h * over[::-1] / one + 0.3 * h
            elif kind == "log":
                h, s = jnp.log((h / scale) ** 2 + 0.2), 0.0
            elif kind == "variance":
                h = h + jnp.mean((over - jnp.mean(over)) ** 2) / one * (scale / one)
            elif kind == "power":
                h = scale * ((h / scale) ** 2 + 0.1) ** 1.3
            else:
                h = scale * one / jnp.sqrt(over**2 + one**2)
        return h

    return network, units


def _derived(method, network, dtype, points):
    with jax.enable_x64(dtype == jnp.float64):
        # Operation by operation: these are few and small, and XLA need not compile each program.
        batch = jax.vmap(lambda z: METHODS[method].function(network, z))
        return [np.asarray(array, np.float64) for array in batch(jnp.asarray(points, dtype))]


def _errors(derived, expected):
    """Largest error of J and of D of each row and output, relative to the largest entry there."""
    errors = []
    with np.errstate(all="ignore"):
        for array, exact in zip(derived[1:], expected[1:], strict=True):
            # Of derivatives whose inputs have units of their own: each in the unit of its column.
            largest = np.abs(exact).max(axis=0, keepdims=True)
            error = np.abs(array - exact) / largest
            in_range = (largest > 1e-30) & (largest < 1e26) & np.isfinite(exact)
            errors.append(np.where(in_range, np.where(np.isnan(error), np.inf, error), 0.0))
    return np.stack(errors)


def _check(seeds):
    """Return what is worse than nested jvp: (seed, method, error, error of nested jvp)."""
    worse, compared = [], 0
    for seed in seeds:
        network, units = _scaled_program(seed)
        points = (np.random.default_rng(seed).uniform(0.4, 1.6, (4, 3)) * units).astype(np.float32)
        expected = _derived("double_forward", network, jnp.float64, points)
        nested = _errors(_derived("double_forward", network, jnp.float32, points), expected)
        finite = np.isfinite(nested)
        worst_nested = np.where(finite, nested, 0).max(axis=(1, 2), keepdims=True)
        allowed = TIMES_NESTED * worst_nested + ROUNDING
        compared += int(finite.sum())
        for method in OWN_METHODS:
            errors = _errors(_derived(method, network, jnp.float32, points), expected)
            excess = np.where(finite, errors - allowed, 0)
            if not (excess <= 0).all():
                at = np.unravel_index(np.nanargmax(excess), excess.shape)
                worse.append((seed, method, float(errors[at]), float(nested[at])))
    return worse, compared


@pytest.mark.slow
def test_programs_with_units_between_their_steps_are_as_right_as_nested_jvp():
    worse, compared = _check(range(8))
    assert worse == []
    assert compared > 100


@pytest.mark.chaos
def test_five_hundred_programs_with_units_between_their_steps():
    worse, compared = _check(range(1000, 1500))
    assert worse == []
    assert compared > 10_000


E_VOLT = 1.602e-19
ENERGIES = np.array([0.5, 0.3, 0.2])


def _boltzmann(x):
    return jnp.exp(-(jnp.asarray(ENERGIES, x.dtype) @ (E_VOLT * x)) / E_VOLT)


def _density(x):
    return jnp.tanh((1e18 * x) / 1e20) ** 2


def _variance_of_nanometres(x):
    return jnp.var(1e-9 * x) / 1e-18


def _gravity(x):
    """In newtons, of two masses in units of the sun's and a distance in astronomical units."""
    potential = 6.674e-11 * (1.989e30 * x[0]) / (1.496e11 * x[2])
    return potential * ((1.989e30 * x[1]) / (1.496e11 * x[2])) / 1e22


def _planck(x):
    """Mean energy of an oscillator in eV, from its frequency in THz and 1000 K of temperature."""
    quantum = 6.626e-34 * (1e12 * x[0])
    return quantum / jnp.expm1(quantum / (1.381e-23 * (1e3 * x[1]))) / E_VOLT


def _plasma_frequency(x):
    return jnp.sqrt((1e19 * x[0]) * E_VOLT / 8.854e-12 * E_VOLT / 9.109e-31) / 1e11


@pytest.mark.one_in(4)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize(
    ("network", "point"),
    [
        (_boltzmann, [0.9, 0.4, 0.2]),
        (_density, [90.0, 50.0]),
        (_variance_of_nanometres, [90.0, 50.0, 20.0]),
        (_gravity, [1.0, 0.5, 2.0]),
        (_planck, [12.0, 0.3]),
        (_plasma_frequency, [2.0]),
    ],
)
def test_physical_quantities_in_si_units_equal_float64(network, point, method):
    point = np.asarray([point], np.float32)
    expected = derivatives(network, point.shape[1], "double_forward", dtype="float64")(point)
    derived = derivatives(network, point.shape[1], method, tile=1)(point)
    for name in ("value", "jacobian", "hessian_diag"):
        np.testing.assert_allclose(
            getattr(derived, name), getattr(expected, name), rtol=2e-5, atol=0, err_msg=name
        )


# At small x, by their Taylor series: value, J, D. What float32 loses to the differences of numbers
# that nearly agree is up to its rounding over x and over x^2.
@pytest.mark.one_in(4)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize(
    ("fn", "taylor"),
    [
        (lambda x: jnp.sin(x) / x, (1.0, 0.0, -1 / 3)),
        (lambda x: jnp.tanh(x) / x, (1.0, 0.0, -2 / 3)),
        (lambda x: x / jnp.sin(x), (1.0, 0.0, 1 / 3)),
        (lambda x: x / jnp.sqrt(x**2 + 1), (0.0, 1.0, 0.0)),
        (lambda x: x / (x + 1e-6), (0.0, 1e6, -2e12)),
    ],
)
def test_quotients_near_zero_where_numerator_and_denominator_agree(fn, taylor, method):
    x = 10.0 ** np.linspace(-30, -9, 22)[:, None]
    derived = derivatives(fn, 1, method, tile=2)(x)
    for array, exact, tolerance in zip(derived, taylor, (0.01, 0.01, 2.0), strict=True):
        scale = max(abs(exact), 1.0)
        np.testing.assert_allclose(array.ravel(), exact, rtol=0, atol=tolerance * scale)


@pytest.mark.one_in(5)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("size", [1e-17, 1e-12, 1e-6, 1.0, 1e6, 1e12, 1e17])
def test_norm_and_normalised_vector_at_any_size(size, method):
    """Of a vector h e of length h: J = e, D = (1 - e^2) / h; and of x / |x| by float64."""
    direction = np.array([0.6, -0.48, 0.64])
    x = (size * direction)[None].astype(np.float32)
    derived = derivatives(lambda x: jnp.sqrt(jnp.sum(x**2)), 3, method, tile=1)(x)
    np.testing.assert_allclose(derived.jacobian[0, 0], direction, rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(derived.hessian_diag[0, 0], float) * size, 1 - direction**2, rtol=1e-5
    )
    if 1e-12 <= size <= 1e12:  # the second derivative, 1 / size^2, is in range
        fn = lambda x: x / jnp.sqrt(jnp.sum(x**2))
        expected = derivatives(fn, 3, "double_forward", dtype="float64")(x)
        derived = derivatives(fn, 3, method, tile=1)(x)
        exact = np.asarray(expected.hessian_diag) * size**2
        np.testing.assert_allclose(
            np.asarray(derived.hessian_diag, float) * size**2, exact, rtol=0, atol=1e-5
        )


def test_factors_of_a_program_with_an_open_one_among_its_parameters():
    """As a linear solve of lineax has it: its constants are not known there."""
    scaled = jax.make_jaxpr(lambda x: 1e25 * jax.jit(jnp.sin)(x) / np.float32(1e10))(jnp.ones(3))
    opened = jax.make_jaxpr(lambda x: x * jnp.arange(3.0))(jnp.ones(3)).jaxpr
    opened = opened if opened.constvars else opened.replace(constvars=[opened.invars[0]], invars=[])
    eqns = [
        eqn.replace(params={**eqn.params, "static": opened}) if eqn.primitive.name == "jit" else eqn
        for eqn in scaled.eqns
    ]
    program = scaled.replace(jaxpr=scaled.jaxpr.replace(eqns=eqns))
    shares = [share_of_range(each, np.float32) for each in (program, scaled)]
    assert shares[0] == shares[1] > SHARE_FOR_SQUARES
