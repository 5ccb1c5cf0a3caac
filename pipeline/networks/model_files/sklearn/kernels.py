"""Kernels of scikit-learn, between one point and all points that a model holds."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .file import SkopsError
from .fitted import Fitted, numbers

Kernel = Callable[[Any], Any]  # of one point, (n,) to (points,)


def kernel_by_name(estimator: Fitted, points: np.ndarray, gamma: float | None) -> Kernel:
    """Return the kernel that an estimator names, or is given as an object.

    Args:
        estimator: with the attributes kernel, degree and coef0.
        points: (points, n).
        gamma: None for 1 / n.

    Raises:
        SkopsError: if the kernel is not known.
    """
    name = estimator.get("kernel")
    if isinstance(name, Fitted):
        return gaussian_process_kernel(name, points)
    gamma = 1 / points.shape[1] if gamma is None else gamma
    if name == "rbf":
        return lambda x: jnp.exp(-gamma * jnp.sum((x - points) ** 2, axis=1))
    if name == "laplacian":
        estimator.file.kinks.append(f"{estimator}: |x - s| of each of its points s")
        return lambda x: jnp.exp(-gamma * jnp.sum(jnp.abs(x - points), axis=1))
    if name == "linear":
        return lambda x: points @ x
    if name == "cosine":
        lengths = np.linalg.norm(points, axis=1)
        directions = points / np.where(lengths == 0, 1, lengths)[:, None]
        return lambda x: directions @ x / _root(jnp.sum(x * x))
    shift = estimator.number("coef0") if estimator.has("coef0") else 1.0
    if name in ("poly", "polynomial"):
        degree = estimator.number("degree") if estimator.has("degree") else 3.0
        power = int(degree) if degree == int(degree) else degree
        return lambda x: (gamma * (points @ x) + shift) ** power
    if name == "sigmoid":
        return lambda x: jnp.tanh(gamma * (points @ x) + shift)
    raise estimator.refuse(f"the kernel {str(name)[:60]}")


def gaussian_process_kernel(kernel: Fitted, points: np.ndarray) -> Kernel:
    """Return a kernel of a Gaussian process, a sum or product of others included.

    Raises:
        SkopsError: if one of its parts is not known, or does not fit the points.
    """
    if kernel.name in ("Sum", "Product"):
        first, second = (gaussian_process_kernel(kernel.fitted(k), points) for k in ("k1", "k2"))
        if kernel.name == "Sum":
            return lambda x: first(x) + second(x)
        return lambda x: first(x) * second(x)
    if kernel.name == "Exponentiation":
        inner = gaussian_process_kernel(kernel.fitted("kernel"), points)
        exponent = kernel.number("exponent")
        power = int(exponent) if exponent == int(exponent) else exponent
        return lambda x: inner(x) ** power
    if kernel.name in ("ConstantKernel", "WhiteKernel"):
        # Noise is that of one measurement, and no two points are one.
        value = kernel.number("constant_value") if kernel.name == "ConstantKernel" else 0.0
        return lambda x: jnp.full(len(points), value, x.dtype)
    if kernel.name == "DotProduct":
        shift = kernel.number("sigma_0") ** 2
        return lambda x: points @ x + shift
    return _stationary(kernel, points)


def _stationary(kernel: Fitted, points: np.ndarray) -> Kernel:
    """Return a kernel of the distance."""
    if not kernel.has("length_scale"):
        raise SkopsError(f"the kernel {kernel} is not known here")
    scale = kernel.array("length_scale", 0, 1)
    if scale.shape not in ((), (1,), points.shape[1:]):
        raise kernel.damaged("length_scale")

    def of_square(function: Kernel) -> Kernel:
        return lambda x: function(jnp.sum((x / scale - points / scale) ** 2, axis=1))

    if kernel.name == "RBF":
        return of_square(lambda s: jnp.exp(-0.5 * s))
    if kernel.name == "RationalQuadratic":
        alpha = kernel.number("alpha")
        return of_square(lambda s: (1 + s / (2 * alpha)) ** -alpha)
    if kernel.name == "ExpSineSquared":
        return _periodic(points, float(scale.reshape(-1)[0]), kernel.number("periodicity"))
    return of_square(_matern(kernel))


def _periodic(points: np.ndarray, scale: float, period: float) -> Kernel:
    def function(x: jax.Array) -> jax.Array:
        square = jnp.sum((x - points) ** 2, axis=1) * (np.pi / period) ** 2
        # sin² is smooth in the square of the distance; the root of it is not.
        sine = jnp.where(square == 0, square, jnp.sin(_root(square)) ** 2)
        return jnp.exp(-2 * sine / scale**2)

    return function


def _matern(kernel: Fitted) -> Kernel:
    """Return Matérn's kernel of the square of the distance, s.

    At a point of the model itself it is written as its series, since the root of s has no
    derivative there.
    """
    nu = float(numbers(kernel.get("nu"), f"nu of {kernel}", 0))
    if nu == np.inf:
        return lambda s: jnp.exp(-0.5 * s)
    if nu not in (0.5, 1.5, 2.5):
        raise kernel.refuse(f"nu={nu:g} (0.5, 1.5, 2.5 and inf are)")

    def function(s: jax.Array) -> jax.Array:
        r = _root(s) * np.sqrt(2 * nu)
        factor = {0.5: 1.0, 1.5: 1 + r, 2.5: 1 + r + r * r / 3}[nu]
        slope = {0.5: 0.0, 1.5: 1.5, 2.5: 5 / 6}[nu]
        return jnp.where(s == 0, 1 - slope * s, factor * jnp.exp(-r))

    return function


def _root(s: jax.Array) -> jax.Array:
    """Return the square root; 1 where it would be 0, so that derivatives are finite."""
    return jnp.sqrt(jnp.where(s == 0, 1, s))
