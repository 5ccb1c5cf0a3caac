"""The quantities that can be asked for at one point, each at its own price."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from ._custom_vjp import forward_mode
from ._jaxpr import widest
from ._methods import AtPoint, Function, Method, MethodError, PointDerivatives
from ._reason import reason

QUANTITIES = ("value", "jacobian", "hessian_diag", "laplacian", "hvp", "hessian")

# Of J of the largest intermediate at one row: more, and directions are taken in chunks.
_CHUNK_BYTES = 1 << 28


def at_point(
    fn: Function,
    z: jax.Array,
    method: Method,
    quantities: Sequence[str],
    direction: jax.Array | None,
) -> list[jax.Array]:
    """Return the quantities asked for, in their order.

    Costs in passes: value 1; with jacobian 1 + min(k, m); hessian_diag as the method says;
    laplacian alone 2 + k forward and 1 + k + m adjoint, but with the contractions of one direction;
    hvp 2 min(k, m) more; hessian 2 k min(k, m) more.

    Raises:
        ValueError: if "hvp" is asked for without a direction, or a direction without "hvp".
        MethodError: if what is asked for cannot be had by any mode of differentiation.
    """
    if ("hvp" in quantities) != (direction is not None):
        raise ValueError("'hvp', and it alone of the outputs, needs a direction with each call")
    arrays: dict[str, jax.Array] = {}
    if "hessian_diag" in quantities:
        names = ("value", "jacobian", "hessian_diag")
        arrays |= zip(names, _in_chunks(method.function, fn, z, method.own), strict=True)
        arrays["laplacian"] = arrays["hessian_diag"].sum(axis=-1)
    elif "laplacian" in quantities:
        names = ("value", "jacobian", "laplacian")
        arrays |= zip(names, _laplacian(method, fn, z), strict=True)
    if "value" not in arrays:
        arrays["value"] = fn(z)
    if "jacobian" in quantities and "jacobian" not in arrays:
        arrays["jacobian"] = _by_some_mode(fn, z, lambda jacobian: jacobian(z))
    if direction is not None:
        arrays["hvp"] = _by_some_mode(
            fn, z, lambda jacobian: jax.jvp(jacobian, (z,), (direction,))[1]
        )
    if "hessian" in quantities:
        arrays["hessian"] = _by_some_mode(fn, z, partial(_hessian, fn, z))
    return [arrays[name] for name in quantities]


def _laplacian(method: Method, fn: Function, z: jax.Array) -> PointDerivatives:
    if method.laplacian is None:
        value, jacobian, hessian_diag = _in_chunks(method.function, fn, z, method.own)
        return value, jacobian, hessian_diag.sum(axis=-1)

    def with_axis(fn: Function, z: jax.Array) -> PointDerivatives:
        assert method.laplacian is not None
        value, jacobian, laplacian = method.laplacian(fn, z)
        return value, jacobian, laplacian[:, None]  # one sum for each chunk of directions

    value, jacobian, sums = _in_chunks(with_axis, fn, z, method.own)
    return value, jacobian, sums.sum(axis=-1)


def _hessian(fn: Function, z: jax.Array, jacobian: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Return the Hessian of each output, (m, k, k): the derivative of the Jacobian, in chunks."""
    traced = jax.make_jaxpr(fn)(z)
    repeats = min(traced.out_avals[0].size, z.size)
    chunk = _chunk(max(widest(traced) * repeats, z.size), z, _CHUNK_BYTES)
    if z.size <= chunk:
        return jax.jacfwd(jacobian)(z)

    def of_chunk(number: jax.Array) -> jax.Array:
        seeds = _seeds(number, chunk, z)
        return jax.vmap(lambda seed: jax.jvp(jacobian, (z,), (seed,))[1])(seeds)

    parts = jax.lax.map(of_chunk, jnp.arange(-(-z.size // chunk)))
    rows = parts.reshape(-1, *parts.shape[2:])[: z.size]
    return jnp.moveaxis(rows, 0, -1)


def _by_some_mode(
    fn: Function, z: jax.Array, use: Callable[[Callable[[jax.Array], jax.Array]], jax.Array]
) -> jax.Array:
    """Return what `use` makes of the Jacobian (m, k) as a function, by the first mode that can.

    That is the cheaper of the two of JAX, or the other: some steps have only one (`while`, a linear
    solve without transpose, `custom_vjp`); where both meet, forward mode with transposed rules.
    """
    outputs = math.prod(jax.eval_shape(fn, z).shape)
    modes: list[Callable] = (
        [jax.jacfwd, jax.jacrev] if outputs > z.size else [jax.jacrev, jax.jacfwd]
    )
    failures: list[Exception] = []
    for mode in (*modes, _forward_by_transposed_rules):
        try:
            return use(mode(fn))
        except Exception as error:  # JAX raises what it likes
            failures.append(error)
    raise MethodError(
        "the Jacobian or Hessian of this function cannot be had by reverse mode nor by forward "
        f"mode: {reason(failures[-1])}"
    ) from failures[-1]


def _forward_by_transposed_rules(fn: Function) -> Callable[[jax.Array], jax.Array]:
    return jax.jacfwd(forward_mode(fn))


def _in_chunks(function: AtPoint, fn: Function, z: jax.Array, own: bool) -> PointDerivatives:
    """Run a method's function on so many directions at a time that J of one row fits.

    JAX's transforms store J of z, too, and more at a time of what follows: theirs are smaller.
    """
    width, limit = widest(jax.make_jaxpr(fn)(z)), _CHUNK_BYTES
    if not own:
        width, limit = max(width, z.size), _CHUNK_BYTES // 4
    chunk = _chunk(width, z, limit)
    if z.size <= chunk:
        return function(fn, z)
    count = -(-z.size // chunk)

    def of_chunk(number: jax.Array) -> PointDerivatives:
        seeds = _seeds(number, chunk, z)
        return function(partial(displaced, fn, z, seeds), jnp.zeros(chunk, z.dtype))

    value, *parts = jax.lax.map(of_chunk, jnp.arange(count))
    jacobian, second = (
        jnp.moveaxis(part, 0, 1).reshape(part.shape[1], -1)[:, : z.size] for part in parts
    )
    return value[0], jacobian, second


def _chunk(width: int, z: jax.Array, limit: int) -> int:
    """Return for how many directions arrays of so many entries stay within a limit of bytes."""
    return max(limit // max(width * z.dtype.itemsize, 1), 1)


def _seeds(number: jax.Array, chunk: int, z: jax.Array) -> jax.Array:
    """Return the directions of a chunk; those past the last are zero, and so is what they give."""
    rows = number * chunk + jnp.arange(chunk)
    return (rows[:, None] == jnp.arange(z.size)).astype(z.dtype)


def displaced(fn: Function, x: jax.Array, seeds: jax.Array, z: jax.Array) -> jax.Array:
    """Return fn at x moved by z, (k,), along the rows of `seeds`, (k, n)."""
    return fn(x + z @ seeds)
