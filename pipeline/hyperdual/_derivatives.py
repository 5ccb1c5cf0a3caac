"""The front: one jitted call from a batch of points to (y, J, D)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._methods import AUTO, METHODS, choose
from ._numerics import numerics


class Derivatives(NamedTuple):
    """Value, Jacobian and Hessian diagonal of a batch of `rows` points.

    Attributes:
        value: y, shape (rows, m).
        jacobian: dy_j/dx_i, shape (rows, m, n), or (rows, m, len(wrt)).
        hessian_diag: d2y_j/dx_i2, shaped as the Jacobian.
    """

    value: Any
    jacobian: Any
    hessian_diag: Any


def derivatives(
    fn: Callable[[jax.Array], jax.Array],
    n_inputs: int,
    method: str = AUTO,
    wrt: Sequence[int] | None = None,
    dtype: str = "float32",
    tile: int | None = None,
) -> Callable[[Any], Derivatives]:
    """Return a jitted function from points (rows, n) to `Derivatives`.

    Args:
        fn: maps one point of shape (n,) to (m,), or to () which counts as m = 1; any function
            that JAX can trace. A function of a batch must be written for one point instead.
        n_inputs: n.
        method: a name from `METHODS`, or "auto" for the choice that `choose` makes.
        wrt: indices of the inputs to differentiate with respect to; None means all. Only these
            directions are computed.
        dtype: "float32" or "float64": of the arithmetic and of the results. Matrix products use
            the highest precision either way.
        tile: rows that go through the network at a time, in a loop inside the call; None means
            the whole batch at once (under "auto": a tile that fits a core's cache).

    A fault of JAX to know of: it keeps a NumPy float64 array that `fn` closes over in the precision
    of its first trace, for as long as that trace lives. Where one process derives one function in
    both dtypes, let `fn` convert (`jnp.asarray(weights, x.dtype)`), or the float64 result has
    weights rounded to float32. A run has one dtype, and is not affected.

    Returns:
        A callable. It takes anything that `jnp.asarray` takes, of shape (rows, n), converts it to
        `dtype`, and raises ValueError for another shape.

    Raises:
        ValueError: if an argument is out of its domain (the message says which), or `fn` does not
            map (n,) to (m,) or ().
        TypeError: if `fn` returns something other than one floating-point array.
    """
    chosen = choose(method, tile)
    if n_inputs < 1:
        raise ValueError(f"n_inputs must be at least 1; got {n_inputs}")
    directions = _checked_directions(wrt, n_inputs)
    with numerics(dtype):
        _check_output(jax.eval_shape(fn, jax.ShapeDtypeStruct((n_inputs,), dtype)))
    at_point = METHODS[chosen.method]

    def as_vector(x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(fn(x)).astype(dtype)

    def one_point(x: jax.Array) -> Derivatives:
        if wrt is None:
            return Derivatives(*at_point(as_vector, x))
        # As a function of displacements along the chosen inputs only, f costs every method
        # accordingly, with no case of its own; at displacement zero, x is kept exactly.
        seeds = jnp.zeros((directions.size, n_inputs), x.dtype)
        seeds = seeds.at[np.arange(directions.size), directions].set(1)
        displaced = partial(_displaced, as_vector, x, seeds)
        return Derivatives(*at_point(displaced, jnp.zeros(directions.size, x.dtype)))

    @jax.jit
    def batch(x: jax.Array) -> Derivatives:
        if chosen.tile is None or chosen.tile >= x.shape[0]:
            return jax.vmap(one_point)(x)
        return jax.lax.map(one_point, x, batch_size=chosen.tile)

    def bundle(x: Any) -> Derivatives:
        with numerics(dtype):
            points = jnp.asarray(x, dtype)
            if points.ndim != 2 or points.shape[1] != n_inputs:
                raise ValueError(f"x must have shape (rows, {n_inputs}); got {points.shape}")
            return batch(points)

    return bundle


def _displaced(fn: Callable, x: jax.Array, seeds: jax.Array, z: jax.Array) -> jax.Array:
    return fn(x + z @ seeds)


def _checked_directions(wrt: Sequence[int] | None, n_inputs: int) -> np.ndarray:
    if wrt is None:
        return np.arange(n_inputs)
    directions = np.asarray(wrt)
    if directions.ndim != 1 or directions.size == 0 or directions.dtype.kind not in "iu":
        raise ValueError(f"wrt must be a non-empty list of input indices; got {wrt!r}")
    if directions.min() < 0 or directions.max() >= n_inputs:
        raise ValueError(f"wrt must name inputs 0 to {n_inputs - 1}; got {wrt!r}")
    if np.unique(directions).size != directions.size:
        raise ValueError(f"wrt names an input twice: {wrt!r}")
    return directions


def _check_output(output: Any) -> None:
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise TypeError(f"fn must return one array; it returns {type(output).__name__}")
    if output.ndim > 1:
        raise ValueError(
            f"fn must map one point of shape (n,) to shape (m,) or (); it returns {output.shape}"
        )
    if not jnp.issubdtype(output.dtype, jnp.floating):
        raise TypeError(f"fn must return floating-point numbers; it returns {output.dtype}")
