"""Special functions with their right derivatives, of any order that JAX is asked for.

Each is JAX's own function for the values, or a better one where that is far off, and has a
derivative rule of its own; `_corrected` puts them in the place of JAX's.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from jax import lax


@jax.custom_jvp
def lgamma(x: jax.Array) -> jax.Array:
    return lax.lgamma(x)


@lgamma.defjvp
def _lgamma_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return lgamma(*x), digamma(*x) * t[0]


@jax.custom_jvp
def digamma(x: jax.Array) -> jax.Array:
    return lax.digamma(x)


@digamma.defjvp
def _digamma_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return digamma(*x), polygamma(*x, 1) * t[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def polygamma(x: jax.Array, order: int) -> jax.Array:
    """psi_n by (-1)^n psi_n(1 - x) - psi_n(x) = pi d^n/dx^n cot(pi x) where x is negative.

    https://dlmf.nist.gov/5.15.E6
    """
    negative = x < 0
    mirrored = jnp.where(negative, 1 - x, x)
    direct = lax.polygamma(jnp.full_like(x, order), mirrored)
    # cot(pi x) has the period 1: near 0 no digits are lost.
    distance = jnp.where(negative, x - jnp.round(x), 0.25)
    cotangent = 1 / jnp.tan(math.pi * distance)
    derivative = _power_series(_cotangent_derivative(order), cotangent)
    return jnp.where(negative, (-1) ** order * direct - math.pi * derivative, direct)


@polygamma.defjvp
def _polygamma_jvp(order: int, x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return polygamma(*x, order), polygamma(*x, order + 1) * t[0]


def _cotangent_derivative(order: int) -> list[float]:
    """Return d^n/dx^n cot(pi x) as a polynomial in cot(pi x), lowest power first.

    From d/dx cot(pi x) = -pi (1 + cot^2).
    """
    polynomial = np.polynomial.Polynomial([0, 1])
    for _ in range(order):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([-math.pi, 0, -math.pi])
    return [float(coefficient) for coefficient in polynomial.coef]


def _side(x: jax.Array) -> jax.Array:
    """The slope of |x| as JAX has it: 1 at 0."""
    return jnp.where(x >= 0, jnp.ones_like(x), -jnp.ones_like(x))


@jax.custom_jvp
def i0e(x: jax.Array) -> jax.Array:
    return lax.bessel_i0e(x)


# I_0' = I_1, I_1' = I_0 - I_1 / x, (I_1 / x)' = I_2 / x (https://dlmf.nist.gov/10.29), each times
# exp(-|x|).
@i0e.defjvp
def _i0e_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return i0e(*x), (i1e(*x) - _side(*x) * i0e(*x)) * t[0]


@jax.custom_jvp
def i1e(x: jax.Array) -> jax.Array:
    return lax.bessel_i1e(x)


@i1e.defjvp
def _i1e_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return i1e(*x), (i0e(*x) - _i1e_over_x(*x) - _side(*x) * i1e(*x)) * t[0]


@jax.custom_jvp
def _i1e_over_x(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 0.5, lax.bessel_i1e(x) / jnp.where(x == 0, 1, x))


@_i1e_over_x.defjvp
def _i1e_over_x_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _i1e_over_x(*x), (_i2e_over_x(*x) - _side(*x) * _i1e_over_x(*x)) * t[0]


def _i2e_over_x(x: jax.Array) -> jax.Array:
    """I_2 = I_0 - 2 I_1 / x, which cancels for small x: there by its series, DLMF 10.25.2."""
    small = jnp.abs(x) < 2
    terms = [0.5 / (4**k * math.factorial(k) * math.factorial(k + 2)) for k in range(12)]
    near = jnp.where(small, x, 0)
    series = _power_series([term / 2 for term in terms], near * near)
    far = jnp.where(small, 2, x)
    return jnp.where(
        small,
        near * series * jnp.exp(-jnp.abs(near)),
        (i0e(far) - 2 * _i1e_over_x(far)) / far,
    )


@jax.custom_jvp
def spence(x: jax.Array) -> jax.Array:
    """The dilogarithm of 1 - x, NaN where x is negative (https://dlmf.nist.gov/25.12.E2)."""
    return jax.scipy.special.spence(x)


@spence.defjvp
def _spence_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return spence(*x), _spence_slope(*x) * t[0]


@jax.custom_jvp
def _spence_slope(x: jax.Array) -> jax.Array:
    """log(x) / (1 - x), which is 0 / 0 at 1."""
    near, w = _near_one(x)
    return jnp.where(near, _power_series([-1 / (k + 1) for k in range(20)], w), _far_slope(x, near))


@_spence_slope.defjvp
def _spence_slope_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    (at,) = x
    near, w = _near_one(at)
    series = _power_series([(k + 1) / (k + 2) for k in range(20)], w)
    far = jnp.where(near, 2, at)
    curvature = jnp.where(near, series, (1 / far + _far_slope(at, near)) / (1 - far))
    return _spence_slope(at), curvature * t[0]


def _near_one(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return whether x is near 1, and 1 - x there, which is exact; 0 elsewhere."""
    near = jnp.abs(x - 1) < 0.125
    return near, jnp.where(near, 1 - x, 0)


def _far_slope(x: jax.Array, near: jax.Array) -> jax.Array:
    far = jnp.where(near, 2, x)
    return jnp.log(far) / (1 - far)


def _power_series(coefficients: list[float], x: jax.Array) -> jax.Array:
    """The sum of c_k x^k; not by `jnp.polyval`, whose loop is no step that acts entry by entry."""
    return functools.reduce(lambda total, c: total * x + c, coefficients[::-1], jnp.zeros_like(x))


@jax.custom_jvp
def log_ndtr(x: jax.Array) -> jax.Array:
    """The logarithm of the normal distribution function.

    Of large negative arguments by the asymptotic series, https://dlmf.nist.gov/7.12.E1, with
    enough terms for float64; JAX takes three of them.
    """
    tail, near, far = _tails(x)
    lower = -far * far / 2 - jnp.log(-far) - math.log(2 * math.pi) / 2
    lower = lower + jnp.log(_tail_series(far))
    return jnp.where(tail, lower, jax.scipy.special.log_ndtr(near))


@log_ndtr.defjvp
def _log_ndtr_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    tail, near, far = _tails(*x)
    density = jnp.exp(-near * near / 2 - math.log(2 * math.pi) / 2 - log_ndtr(near))
    return log_ndtr(*x), jnp.where(tail, -far / _tail_series(far), density) * t[0]


def _tails(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return whether x is in the lower tail, x where it is not, and x where it is."""
    limit = jnp.asarray(-20 if x.dtype == jnp.float64 else -10, x.dtype)
    tail = x <= limit
    return tail, jnp.where(tail, limit, x), jnp.where(tail, x, limit)


def _tail_series(x: jax.Array) -> jax.Array:
    """The density over -x and the distribution function: the sum of (-1)^k (2k - 1)!! / x^2k."""
    odd = np.cumprod([1.0, *range(1, 22, 2)])
    return _power_series([float((-1) ** k * factor) for k, factor in enumerate(odd)], 1 / (x * x))
