"""Activations with their first two derivatives from one evaluation of what is slow.

XLA would evaluate a tanh again in each loop over directions that uses it. The sine and cosine of
its CPU backend cost, in float32, as much as twenty multiplications each; ours share one reduction
of the argument and cost as much as one exponential.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from .._numerics import to_be_widened

Jet = tuple[jax.Array, jax.Array, jax.Array]


def _tanh(x: jax.Array) -> Jet:
    value = jnp.tanh(x)
    slope = (1 - value) * (1 + value)
    return value, slope, -2 * value * slope


def _logistic(x: jax.Array) -> Jet:
    value = lax.logistic(x)
    slope = value * (1 - value)
    return value, slope, slope * (1 - 2 * value)


def _exp(x: jax.Array) -> Jet:
    value = jnp.exp(x)
    return value, value, value


def _sin(x: jax.Array) -> Jet:
    sine, cosine = sine_and_cosine(x)
    return sine, cosine, -sine


def _cos(x: jax.Array) -> Jet:
    sine, cosine = sine_and_cosine(x)
    return cosine, -sine, -cosine


def _erf(x: jax.Array) -> Jet:
    slope = 2 / math.sqrt(math.pi) * jnp.exp(-x * x)
    return lax.erf(x), slope, -2 * x * slope


# name: x -> phi(x), phi'(x), phi''(x)
JETS: dict[str, Callable[[jax.Array], Jet]] = {
    "cos": _cos,
    "erf": _erf,
    "exp": _exp,
    "logistic": _logistic,
    "sin": _sin,
    "tanh": _tanh,
}

# From x and phi(x) to phi'(x) and phi''(x) / phi'(x).
Ratio = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]

# Powers and logarithms, whose phi'' is far out of range long before this ratio is.
RATIOS: dict[str, Ratio] = {
    "cbrt": lambda x, value: (lax.integer_pow(value, -2) / 3, -2 / 3 / x),
    "log": lambda x, value: (1 / x, -1 / x),
    "log1p": lambda x, value: (1 / (1 + x), -1 / (1 + x)),
    "rsqrt": lambda x, value: (-0.5 * value / x, -1.5 / x),
    "sqrt": lambda x, value: (0.5 / value, -0.5 / x),
}

# pi/2 in parts of 8, 11, 11 and 24 bits: for quarter turns k below 2^13 the products of k with the
# first three are exact (Cody and Waite, Software Manual for the Elementary Functions, 1980).
_HALF_PI = (1.5703125, 0.0004837512969970703, 7.549533620476723e-08, 2.5633440682570896e-12)
_LARGEST = 12_000.0  # 7639 quarter turns

# Minimax in relative error on |r| <= pi/4 (fitted by Lawson's iteration in float64):
# sin r = r + r^3 p(r^2) within 3.9e-9, cos r = 1 - r^2/2 + r^4 q(r^2) within 1.2e-10.
_SINE = (-0.1666665453661173, 0.008332156053021633, -0.00019514631812933125)
_COSINE = (0.041666645554431614, -0.0013887309865097722, 2.44324128332549e-05)


def sine_and_cosine(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return sin(x) and cos(x), each within 2 units in the last place of 1."""
    if x.dtype != jnp.float32 or to_be_widened.get():
        return jnp.sin(x), jnp.cos(x)
    return _pair(x)


@jax.custom_jvp
def _pair(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    sine, cosine = lax.platform_dependent(x, cpu=_on_cpu, default=_by_xla)
    return sine, cosine


@_pair.defjvp
def _pair_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Let users differentiate further."""
    sine, cosine = _pair(*primals)
    return (sine, cosine), (cosine * tangents[0], -sine * tangents[0])


def _by_xla(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.sin(x), jnp.cos(x)


@jax.custom_batching.custom_vmap
def _on_cpu(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    # The test is on a whole tile, but decides for each entry only what is computed, not which
    # result it gets: an entry's bits do not depend on its neighbours.
    small = jnp.abs(x) <= _LARGEST
    return lax.cond(jnp.all(small), _short, lambda x: _mixed(x, small), x)


@_on_cpu.def_vmap
def _batched(
    axis_size: int, batched: list[bool], x: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], tuple[bool, bool]]:
    return _on_cpu(x), (True, True)


def _mixed(x: jax.Array, small: jax.Array) -> tuple[jax.Array, jax.Array]:
    short, full = _short(x), _by_xla(x)
    return jnp.where(small, short[0], full[0]), jnp.where(small, short[1], full[1])


def _short(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return sine and cosine for |x| <= _LARGEST."""
    quarters = jnp.round(x * (2 / math.pi))
    r = x
    for part in _HALF_PI:
        r = r - quarters * part
    s = r * r
    sine = r + r * s * (_SINE[0] + s * (_SINE[1] + s * _SINE[2]))
    cosine = 1 - s / 2 + s * s * (_COSINE[0] + s * (_COSINE[1] + s * _COSINE[2]))
    quadrant = quarters.astype(jnp.int32)
    odd = quadrant & 1 == 1
    sine, cosine = jnp.where(odd, cosine, sine), jnp.where(odd, sine, cosine)
    sine = jnp.where(quadrant & 2 == 2, -sine, sine)
    return sine, jnp.where((quadrant + 1) & 2 == 2, -cosine, cosine)
