"""Elementwise operations: of the inputs themselves, of mixtures of them, in small networks."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from ._program import Program, above_one, averages, inside_one, normal, positive, weights


def _one(operations, x):
    """Five outputs for each operation: on the three inputs, and two sums of it on mixtures."""
    mixed = averages(x, 4)
    outputs = [(op(x), weights(x, (2, 4)) @ op(mixed)) for op in operations]
    return jnp.concatenate([array for pair in outputs for array in pair])


def _two(operations, x):
    """Four outputs for each operation: on two pairs of inputs, and two sums of it on mixtures."""
    a, b = averages(x, 3, seed=1), averages(x, 3, seed=2)
    outputs = [(op(x[:2], x[2:]), weights(x, (2, 3)) @ op(a, b)) for op in operations]
    return jnp.concatenate([array for pair in outputs for array in pair])


def _gated(activations, x):
    """Two outputs for each; the gate gives piecewise linear activations a curvature."""
    gate, inner = jnp.cos(weights(x, (6, 3), seed=1) @ x), weights(x, (6, 3), seed=2) @ (2 * x)
    return jnp.concatenate([weights(x, (2, 6)) @ (gate * op(inner)) for op in activations])


ONE = {
    "trigonometric": (normal, [lax.sin, lax.cos, lax.atan, jnp.sinc]),
    "trigonometric_inside_one": (inside_one, [lax.tan, lax.asin, lax.acos]),
    "hyperbolic": (normal, [lax.sinh, lax.cosh, lax.tanh, lax.asinh, lax.logistic]),
    "hyperbolic_inverse": (above_one, [lax.acosh, lambda x: lax.atanh(1 / x)]),
    "exponentials": (normal, [lax.exp, lax.exp2, lax.expm1, lambda x: 1.7**x]),
    "logarithms": (positive, [lax.log, lax.log1p, jnp.log10, special.entr]),
    "roots": (positive, [lax.sqrt, lax.rsqrt, lambda x: lax.cbrt(-x), lambda x: x**2.3]),
    "integer_powers": (
        positive,
        [lax.square, lambda x: (x - 1) ** 3, lambda x: x**-2, lambda x: 1 / x, lambda x: -(x**7)],
    ),
    "error_functions": (inside_one, [lax.erf, lax.erfc, lax.erf_inv]),
    "normal_distribution": (normal, [special.ndtr, special.log_ndtr]),
    "gamma_functions": (positive, [lax.lgamma, lax.digamma]),
    "polygamma": (above_one, [partial(special.polygamma, 1)]),
    "incomplete_gamma": (positive, [lambda x: lax.igamma(jnp.full_like(x, 1.5), x)]),
    "incomplete_beta": (inside_one, [lambda x: special.betainc(1.5, 2.5, x**2)]),
    "bessel_functions": (normal, [lax.bessel_i0e, lax.bessel_i1e]),
    "with_kinks": (
        normal,
        [
            lambda x: lax.abs(x) ** 3,
            lambda x: lax.sign(x) * x**2,
            lambda x: lax.clamp(-0.3, x, 0.8) * x,
            lambda x: jnp.where(x > 0, jnp.exp(-x), jnp.cos(x) - 3 * x),
            lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), x),
        ],
    ),
    "with_steps": (
        normal,
        [
            lambda x: lax.round(3 * x) * x**2,
            lambda x: lax.floor(2 * x) * jnp.sin(x),
            lambda x: lax.reduce_precision(x, 11, 52) ** 2,
        ],
    ),
}

TWO = {
    "products_and_quotients": (positive, [lax.mul, lax.div, lambda a, b: a**3 * b**-1.5 - a / b]),
    "pow_of_two_active_operands": (positive, [lax.pow]),
    "angles": (normal, [lax.atan2]),
    "remainder": (positive, [lambda a, b: lax.rem(5 * a, b) * a]),
    "maximum_and_minimum": (
        normal,
        [lambda a, b: lax.max(a, b) * b, lambda a, b: jnp.minimum(jnp.sin(a), b**2)],
    ),
    "logarithms_of_sums": (normal, [jnp.logaddexp, jnp.logaddexp2]),
    "x_times_logarithm": (positive, [special.xlogy, special.xlog1py]),
    "choices_by_both": (
        normal,
        [
            lambda a, b: jnp.copysign(a**2, b) * b,
            lambda a, b: lax.clamp(b - 1, 2 * a, b + 1) ** 2,
            lambda a, b: lax.select_n((a > b).astype("int32") + (a > 0), a * b, a**2, jnp.sin(b)),
        ],
    ),
}

ACTIVATIONS = {
    "relu_and_variants": [jax.nn.relu, jax.nn.relu6, jax.nn.leaky_relu],
    "gelu": [partial(jax.nn.gelu, approximate=False), partial(jax.nn.gelu, approximate=True)],
    "silu_and_mish": [jax.nn.silu, jax.nn.mish],
    "softplus_and_variants": [jax.nn.softplus, jax.nn.sparse_plus, jax.nn.squareplus],
    "elu_and_variants": [jax.nn.elu, jax.nn.selu, partial(jax.nn.celu, alpha=1.3)],
    "sigmoids": [jax.nn.log_sigmoid, jax.nn.soft_sign, jax.nn.sparse_sigmoid],
    "hard_activations": [jax.nn.hard_tanh, jax.nn.hard_silu, jax.nn.hard_sigmoid],
    "softmax": [
        jax.nn.softmax,
        jax.nn.log_softmax,
        lambda h: jax.nn.softmax(h, where=jnp.arange(6) % 3 > 0),
        lambda h: jax.nn.logsumexp(h, keepdims=True) * h,
    ],
    "standardize_and_glu": [jax.nn.standardize, lambda h: jnp.tile(jax.nn.glu(h), 2)],
}

PROGRAMS = {
    **{name: Program(partial(_one, ops), 3, draw) for name, (draw, ops) in ONE.items()},
    **{name: Program(partial(_two, ops), 4, draw) for name, (draw, ops) in TWO.items()},
    **{f"activation_{name}": Program(partial(_gated, ops), 3) for name, ops in ACTIVATIONS.items()},
}
