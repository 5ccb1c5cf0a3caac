"""What can be asked for at one point, each at its own price."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from ._interpret import laplacian
from ._jaxpr import equations, widest
from ._methods import METHODS, OWN_METHODS

OUTPUTS = ("value", "jacobian", "hessian_diag", "laplacian", "hvp", "hessian")

# Of J of the largest intermediate at one row: more, and directions are taken in chunks.
_CHUNK_BYTES = 1 << 28


def at_point(
    fn: Callable[[jax.Array], jax.Array],
    z: jax.Array,
    method: str,
    outputs: Sequence[str],
    along: jax.Array | None,
) -> list[jax.Array]:
    """Return the outputs asked for, in their order.

    Costs in passes: value 1; with jacobian 1 + min(k, m); hessian_diag as the method says;
    laplacian alone 2 + k forward and 1 + k + m adjoint, but with the contractions of one direction;
    hvp 2 min(k, m) more; hessian 2 k min(k, m) more.

    Raises:
        ValueError: if "hvp" is asked for without a direction, or a direction without "hvp".
    """
    if ("hvp" in outputs) != (along is not None):
        raise ValueError("the output 'hvp', and it alone, needs a direction with each call")
    found: dict[str, jax.Array] = {}
    if "hessian_diag" in outputs:
        keys = ("value", "jacobian", "hessian_diag")
        found |= zip(keys, _in_chunks(METHODS[method], fn, z), strict=True)
        found["laplacian"] = found["hessian_diag"].sum(axis=-1)
    elif "laplacian" in outputs:
        if method in OWN_METHODS:
            triple = laplacian(fn, z, method == "hyperdual_adjoint", method == "hyperdual_columns")
        else:
            value, jacobian, hessian_diag = METHODS[method](fn, z)
            triple = value, jacobian, hessian_diag.sum(axis=-1)
        found |= zip(("value", "jacobian", "laplacian"), triple, strict=True)
    if "value" not in found:
        found["value"] = fn(z)
    if "jacobian" in outputs and "jacobian" not in found:
        found["jacobian"] = _jacobian(fn, z)(z)
    if along is not None:
        found["hvp"] = jax.jvp(_jacobian(fn, z), (z,), (along,))[1]
    if "hessian" in outputs:
        found["hessian"] = jax.jacfwd(_jacobian(fn, z))(z)
    return [found[name] for name in outputs]


def _jacobian(fn: Callable, z: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Return the Jacobian (m, k) as a function, by the cheaper direction that exists."""
    traced = jax.make_jaxpr(fn)(z)
    (output,) = traced.out_avals
    names = {equation.primitive.name for equation in equations(traced)}
    if "custom_vjp_call" in names:
        return jax.jacrev(fn)
    return jax.jacfwd(fn) if "while" in names or output.size > z.size else jax.jacrev(fn)


def _in_chunks(method: Callable, fn: Callable, z: jax.Array) -> tuple[jax.Array, ...]:
    """Run a method on so many directions at a time that J of one row fits."""
    chunk = max(_CHUNK_BYTES // max(widest(jax.make_jaxpr(fn)(z)) * z.dtype.itemsize, 1), 1)
    if z.size <= chunk:
        return method(fn, z)
    count = -(-z.size // chunk)

    def some(first: jax.Array) -> tuple[jax.Array, ...]:
        # Directions past the last are zero: they give zeros, cut off below.
        rows = first * chunk + jnp.arange(chunk)
        seeds = (rows[:, None] == jnp.arange(z.size)).astype(z.dtype)
        return method(partial(displaced, fn, z, seeds), jnp.zeros(chunk, z.dtype))

    value, jacobian, hessian_diag = jax.lax.map(some, jnp.arange(count))
    m = value.shape[1]
    jacobian, hessian_diag = (
        jnp.moveaxis(parts, 0, 1).reshape(m, count * chunk)[:, : z.size]
        for parts in (jacobian, hessian_diag)
    )
    return value[0], jacobian, hessian_diag


def displaced(fn: Callable, x: jax.Array, seeds: jax.Array, z: jax.Array) -> jax.Array:
    """Return fn at x moved by z, (k,), along the rows of `seeds`, (k, n)."""
    return fn(x + z @ seeds)
