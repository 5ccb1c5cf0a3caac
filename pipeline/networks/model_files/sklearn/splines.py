"""SplineTransformer of scikit-learn: the basis functions of B-splines, of each input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import BSpline

from .fitted import Fitted
from .scalers import Map

_MOST_DEGREE = 20


def splines(estimator: Fitted) -> Map:
    """Return the basis functions of each input, side by side.

    Raises:
        SkopsError: if something of it is not known, or missing.
    """
    beyond = estimator.get("extrapolation")
    bases = [_pieces(spline) for spline in estimator.all_fitted("bsplines_")]
    if not bases or len({pieces.shape for _, pieces in bases}) != 1:
        raise estimator.damaged("bsplines_")
    knots = np.stack([each for each, _ in bases])  # (n, pieces + 1)
    pieces = np.stack([each for _, each in bases], axis=1)  # (degree + 1, n, pieces, m)
    degree = len(pieces) - 1
    if beyond not in ("constant", "continue", "error", "linear", "periodic"):
        raise estimator.refuse(f"the extrapolation {str(beyond)[:40]}")
    if beyond == "linear" and degree < 2:
        # The library changes the degree from one input to the next.
        raise estimator.refuse("a linear extrapolation of constant or linear pieces")
    if degree < 3:
        estimator.file.kinks.append(f"{estimator}: each knot")
    elif beyond in ("constant", "linear", "periodic"):
        estimator.file.kinks.append(f"{estimator}: the ends of its range")

    start, end = knots[:, 0], knots[:, -1]
    first = _slopes(pieces[:, :, 0], np.zeros_like(start))
    last = _slopes(pieces[:, :, -1], end - knots[:, -2])
    rows = np.arange(len(knots))

    def value(x: jax.Array) -> jax.Array:
        at = jnp.sum(x[:, None] >= knots[:, 1:-1], axis=1)
        step = (x - jnp.asarray(knots, x.dtype)[rows, at])[:, None]
        result = jnp.zeros_like(step)
        for coefficients in pieces:
            result = result * step + jnp.asarray(coefficients, x.dtype)[rows, at]
        return result

    def extended(x: jax.Array) -> jax.Array:
        if beyond == "periodic":
            return value(start + (x - start) % (end - start))
        if beyond in ("continue", "error"):
            return value(x)
        inside = jnp.clip(x, start, end)
        if beyond == "constant":
            return value(inside)
        slopes = jnp.where(x < start, first.T, jnp.where(x > end, last.T, 0)).T
        return value(inside) + slopes * (x - inside)[:, None]

    kept = None if estimator.get("include_bias") else -1
    return lambda x: extended(x)[:, :kept].reshape(-1)


def spline_ends(estimator: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last knot of each input, (n,) each.

    Raises:
        SkopsError: if they are missing.
    """
    knots = [_pieces(spline)[0] for spline in estimator.all_fitted("bsplines_")]
    return np.array([each[0] for each in knots]), np.array([each[-1] for each in knots])


def _pieces(spline: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Return the knots between pieces, and the polynomials (degree + 1, pieces, m) between them.

    The highest power of the distance from the left knot is the first.
    """
    degree = int(spline.number("k"))
    if not 0 <= degree <= _MOST_DEGREE:
        raise spline.damaged("k")
    # Versions of SciPy name them differently.
    knots = spline.array("_t" if spline.has("_t") else "t", 1)
    weights = spline.array("_c" if spline.has("_c") else "c", 2)
    if len(knots) < 2 * degree + 2:
        raise spline.damaged("t")
    inner = knots[degree : len(knots) - degree]
    try:
        curve = BSpline(knots, weights, degree)
    except ValueError as error:
        raise spline.damaged("t") from error
    powers = [curve(inner[:-1], k) / math.factorial(k) for k in range(degree + 1)]
    return inner, np.stack(powers[::-1])


def _slopes(coefficients: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the derivatives (n, m) of polynomials (degree + 1, n, m) at a step (n,)."""
    result, derivatives = np.zeros((2, *coefficients.shape[1:]))
    for each in coefficients:
        derivatives = derivatives * step[:, None] + result
        result = result * step[:, None] + each
    return derivatives
