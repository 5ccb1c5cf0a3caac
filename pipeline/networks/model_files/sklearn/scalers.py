"""Scalers of scikit-learn as functions of one point, and their inverses."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from .fitted import Fitted, Function, numbers
from .names import UFUNCS

Map = Callable[[Any], Any]  # of one point, (n,) to (m,)

_BOUND = 1e-7  # QuantileTransformer's: what is nearer to an end of the range is at the end
_SCALERS = {
    "StandardScaler": ("mean_", "with_mean", "with_std"),
    "RobustScaler": ("center_", "with_centering", "with_scaling"),
    "MaxAbsScaler": ("", "", ""),
}
# Names of classes that `scaler` and `inverse` know.
SCALERS = frozenset(
    [*_SCALERS, "FunctionTransformer", "MinMaxScaler", "PowerTransformer", "QuantileTransformer"]
)


def scaler(estimator: Fitted) -> Map:
    """Return what a scaler computes.

    Raises:
        SkopsError: if something of it is not known, or missing.
    """
    name = estimator.name
    if name == "FunctionTransformer":
        return _own_function(estimator, "func")
    if name == "PowerTransformer":
        return _powers(estimator)
    if name == "QuantileTransformer":
        return _quantiles(estimator)
    ends: Any = (-1.0, 1.0)
    if name == "MinMaxScaler":
        factor, shift = estimator.array("scale_", 1), estimator.array("min_", 1)
        function: Map = lambda x: x * factor + shift  # noqa: E731
        ends = estimator.get("feature_range")
    else:
        center, scale = _center_and_scale(estimator)
        function = lambda x: (x - center) / scale  # noqa: E731
    if not estimator.get("clip"):
        return function
    low, high = numbers(ends, f"feature_range of {estimator}", 1)
    estimator.file.kinks.append(f"{estimator}: clip")
    return lambda x: jnp.clip(function(x), low, high)


def inverse(estimator: Fitted) -> Map:
    """Return the inverse of what a scaler computes.

    Raises:
        SkopsError: if it has none here.
    """
    name = estimator.name
    if name == "FunctionTransformer":
        return _own_function(estimator, "inverse_func")
    if name == "PowerTransformer":
        return _inverse_powers(estimator)
    if name == "MinMaxScaler":
        factor, shift = estimator.array("scale_", 1), estimator.array("min_", 1)
        return lambda y: (y - shift) / factor
    if name in _SCALERS:
        center, scale = _center_and_scale(estimator)
        return lambda y: y * scale + center
    raise estimator.refuse("its inverse")


def _center_and_scale(estimator: Fitted) -> tuple[Any, Any]:
    """Return (center, scale) of a scaler that computes (x - center) / scale."""
    middle, with_middle, with_scale = _SCALERS[estimator.name]
    center = estimator.array(middle, 1) if middle and estimator.get(with_middle) else 0.0
    scaled = not with_scale or estimator.get(with_scale)
    return center, estimator.array("scale_", 1) if scaled else 1.0


def _own_function(estimator: Fitted, attribute: str) -> Map:
    function = estimator.get(attribute)
    if function is None:
        return lambda x: x
    if not isinstance(function, Function) or function.name not in UFUNCS:
        raise estimator.refuse(f"the function {getattr(function, 'name', function)}")
    if estimator.get("kw_args" if attribute == "func" else "inv_kw_args"):
        raise estimator.refuse("a function with arguments")
    return getattr(jnp, UFUNCS[function.name])


def _powers(estimator: Fitted) -> Map:
    exponents, is_box_cox = _exponents(estimator)
    scaled = scaler(estimator.fitted("_scaler")) if estimator.get("standardize") else _same
    if is_box_cox:
        return lambda x: scaled(_power(jnp.log(x), exponents))
    estimator.file.kinks.append(f"{estimator}: 0")

    def function(x: jax.Array) -> jax.Array:
        above, below = _parts(x)
        return scaled(
            jnp.where(
                x >= 0,
                _power(jnp.log1p(above), exponents),
                -_power(jnp.log1p(below), 2 - exponents),
            )
        )

    return function


def _inverse_powers(estimator: Fitted) -> Map:
    exponents, is_box_cox = _exponents(estimator)
    unscaled = inverse(estimator.fitted("_scaler")) if estimator.get("standardize") else _same
    if is_box_cox:
        return lambda y: jnp.exp(_log_of_power(unscaled(y), exponents))
    estimator.file.kinks.append(f"inverse of {estimator}: 0")

    def function(y: jax.Array) -> jax.Array:
        y = unscaled(y)
        above, below = _parts(y)
        return jnp.where(
            y >= 0,
            jnp.expm1(_log_of_power(above, exponents)),
            -jnp.expm1(_log_of_power(below, 2 - exponents)),
        )

    return function


def _exponents(estimator: Fitted) -> tuple[np.ndarray, bool]:
    method = estimator.get("method")
    if method not in ("yeo-johnson", "box-cox"):
        raise estimator.refuse(f"the method {str(method)[:40]}")
    return estimator.array("lambdas_", 1), method == "box-cox"


def _same(x: jax.Array) -> jax.Array:
    return x


def _parts(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return what is above 0 and what is below; each 0 elsewhere, so that nothing overflows."""
    return jnp.where(x >= 0, x, 0), jnp.where(x >= 0, 0, -x)


def _power(log: jax.Array, exponents: np.ndarray) -> jax.Array:
    """Return (t^k - 1) / k from log t; log t itself for k = 0."""
    is_log = np.abs(exponents) < np.spacing(1.0)
    divisors = np.where(is_log, 1, exponents)
    return jnp.where(is_log, log, jnp.expm1(divisors * log) / divisors)


def _log_of_power(y: jax.Array, exponents: np.ndarray) -> jax.Array:
    """Return log t of y = (t^k - 1) / k."""
    is_log = np.abs(exponents) < np.spacing(1.0)
    divisors = np.where(is_log, 1, exponents)
    return jnp.where(is_log, y, jnp.log1p(jnp.where(is_log, 0, divisors * y)) / divisors)


def _quantiles(estimator: Fitted) -> Map:
    """Return the share of the training rows below each number, linear between quantiles."""
    columns = estimator.array("quantiles_", 2).T
    shares = estimator.array("references_", 1)
    if columns.shape[1] != len(shares) or len(shares) < 2:
        raise estimator.damaged("quantiles_")
    is_normal = estimator.get("output_distribution") == "normal"
    estimator.file.kinks.append(f"{estimator}: each of its {len(shares)} quantiles")
    most = -ndtri(_BOUND - np.spacing(1.0))
    margin = _BOUND if is_normal else 0.0

    def function(x: jax.Array) -> jax.Array:
        # Where quantiles repeat, the mean of both ends of the step.
        upper = _interpolated(x, columns, shares)
        lower = -_interpolated(-x, -columns[:, ::-1], -shares[::-1])
        below, above = x - margin < columns[:, 0], x + margin > columns[:, -1]
        share = jnp.where(below, 0, jnp.where(above, 1, (upper + lower) / 2))
        if not is_normal:
            return share
        inside = ~(below | above)
        level = jax.scipy.special.ndtri(jnp.where(inside, share, 0.5))
        ends = jnp.where(below, -most, most)
        return jnp.where(inside, jnp.clip(level, -most, most), ends)

    return function


def _interpolated(x: jax.Array, knots: np.ndarray, values: np.ndarray) -> jax.Array:
    """Return what is linear between knots (n, k) and their values (k,) at x (n,)."""
    x = jnp.clip(x, knots[:, 0], knots[:, -1])
    at = jnp.sum(x[:, None] >= knots[:, 1:-1], axis=1)
    rows = np.arange(len(knots))
    starts, steps = jnp.asarray(knots, x.dtype)[rows, at], np.diff(knots, axis=1)
    slopes = np.diff(values) / np.where(steps == 0, 1, steps)
    return jnp.asarray(values, x.dtype)[at] + jnp.asarray(slopes, x.dtype)[rows, at] * (x - starts)
