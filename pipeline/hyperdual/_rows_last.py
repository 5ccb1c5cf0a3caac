"""`jax.vmap` with the rows of the batch as the last axis of every intermediate.

`jax.vmap` brings the batch to the front wherever an operand without it meets one that has it, as at
each bias. With the rows last, a layer is W^T X with X of shape (inputs, directions x rows), and the
innermost loop of what is elementwise runs over the rows: whole vector registers whatever the width
of the layer is. With the rows first it runs over the width, and a width of 133 leaves 5 over.

Only what a dense network is made of has an entry here; for the rest `jax.vmap` does it, and moves
the rows to where it wants them and back.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.extend import core

from ._jaxpr import walk
from ._rules import elementwise


class _Value(NamedTuple):
    """An array; if `batched`, its last axis is the rows."""

    array: Any
    batched: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        shape = jnp.shape(self.array)
        return shape[:-1] if self.batched else shape


def rows_last(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return `fn`, of one point, for a batch: as `jax.vmap(fn)`, rows first in and out.

    Args:
        fn: from arrays to a tree of arrays; any function that JAX can trace.
    """

    def batch(*arrays: jax.Array) -> Any:
        rows = arrays[0].shape[0]
        points = [jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for array in arrays]
        closed, shapes = jax.make_jaxpr(fn, return_shape=True)(*points)
        operands = [_Value(jnp.moveaxis(array, 0, -1), True) for array in arrays]
        results = _evaluate(closed.jaxpr, closed.consts, operands, rows)
        return jax.tree.unflatten(
            jax.tree.structure(shapes),
            [
                jnp.moveaxis(array, -1, 0)
                if batched
                else jnp.broadcast_to(array, (rows, *jnp.shape(array)))
                for array, batched in results
            ],
        )

    return batch


def _evaluate(
    jaxpr: core.Jaxpr, consts: Sequence[Any], operands: Sequence[_Value], rows: int
) -> list[_Value]:
    return walk(
        jaxpr,
        consts,
        operands,
        lambda eqn, values: _apply(eqn, values, rows),
        lambda array: _Value(array, False),
    )


def _apply(eqn: core.JaxprEqn, operands: list[_Value], rows: int) -> list[_Value]:
    name, arrays = eqn.primitive.name, [value.array for value in operands]
    if not any(value.batched for value in operands):
        return [_Value(array, False) for array in _bind(eqn, arrays)]
    if name == "jit":
        inner = eqn.params["jaxpr"]
        return _evaluate(inner.jaxpr, inner.consts, operands, rows)
    if name in elementwise.ENTRYWISE:
        shape = np.broadcast_shapes(*(value.shape for value in operands))
        scalars = name not in ("select_n", "clamp", "add_any")  # others take a scalar as it is
        results = _bind(
            eqn,
            [
                value.array
                if scalars and not value.batched and not value.shape
                else _broadcast(value, value.shape or shape, rows)
                for value in operands
            ],
        )
    elif name == "concatenate":
        results = _bind(eqn, [_broadcast(value, value.shape, rows) for value in operands])
    elif name in _ONE_OPERAND:
        results = _bind(eqn, arrays, **_ONE_OPERAND[name](eqn.params, rows))
    elif name == "dot_general" and not all(value.batched for value in operands):
        results = [_product(eqn, operands)]
    else:
        return _mapped(eqn, operands)
    return [_Value(array, True) for array in results]


def _mapped(eqn: core.JaxprEqn, operands: Sequence[_Value]) -> list[_Value]:
    """Let `jax.vmap` do it; what it finds to be the same for all rows stays so.

    A predicate that all rows share, for one, must not become one for each row: of a `cond` both
    branches would run.
    """
    failure: Exception | None = None
    for axis in (-1, 0):  # some primitives (of sparse matrices) take the rows as first axis alone
        moved = [
            jnp.moveaxis(value.array, -1, 0) if value.batched and axis == 0 else value.array
            for value in operands
        ]
        axes = [axis if value.batched else None for value in operands]
        try:
            out_axes = _out_axes(eqn, axes, moved, axis)
            results = jax.vmap(lambda *operands: _bind(eqn, operands), axes, out_axes)(*moved)
        except Exception as error:  # JAX raises what it likes
            failure = failure or error
            continue
        return [
            _Value(array if out is None else jnp.moveaxis(array, axis, -1), out is not None)
            for array, out in zip(results, out_axes, strict=True)
        ]
    assert failure is not None
    raise failure


def _out_axes(
    eqn: core.JaxprEqn, axes: Sequence[int | None], arrays: Sequence[Any], axis: int
) -> list[int | None]:
    """Return for each result where the rows are, None if it does not depend on them."""
    batched = [False] * len(eqn.outvars)

    @custom_vmap
    def note(*results: Any) -> tuple[Any, ...]:
        return results

    @note.def_vmap
    def _(size: int, in_batched: Sequence[bool], *results: Any) -> tuple[Any, Any]:
        batched[:] = in_batched
        return results, tuple(in_batched)

    mapped = jax.vmap(lambda *operands: note(*_bind(eqn, operands)), axes, axis)
    jax.eval_shape(mapped, *arrays)
    return [axis if depends else None for depends in batched]


def _bind(eqn: core.JaxprEqn, arrays: Sequence[Any], **changed: Any) -> list[Any]:
    params = eqn.primitive.get_bind_params(eqn.params | changed)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*arrays, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def _broadcast(value: _Value, shape: tuple[int, ...], rows: int) -> Any:
    """Return the array, of shape `shape` or a scalar, as (*shape, rows)."""
    if value.batched and value.shape == shape:
        return value.array
    axes = [*range(len(value.shape)), *([len(shape)] if value.batched else [])]
    return lax.broadcast_in_dim(value.array, (*shape, rows), axes)


# name: (parameters, rows) -> the parameters that the further axis changes
_ONE_OPERAND: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
    "broadcast_in_dim": lambda params, rows: {
        "shape": (*params["shape"], rows),
        "broadcast_dimensions": (*params["broadcast_dimensions"], len(params["shape"])),
    },
    "reshape": lambda params, rows: {
        "new_sizes": (*params["new_sizes"], rows),
        "dimensions": params["dimensions"] and (*params["dimensions"], len(params["dimensions"])),
    },
    "squeeze": lambda params, rows: {},
    "transpose": lambda params, rows: {
        "permutation": (*params["permutation"], len(params["permutation"]))
    },
}


def _product(eqn: core.JaxprEqn, operands: Sequence[_Value]) -> jax.Array:
    """Return a product with an operand that all rows share; put first, it leaves the rows last."""
    (left, right), (contracted, batch) = operands, eqn.params["dimension_numbers"]
    if right.batched:
        if batch[0] or contracted[1] != (0,):
            return _bind(eqn, [left.array, right.array])[0]
        # As a product of two matrices: of one with more axes XLA would turn the weights, which
        # costs a twentieth of the rate.
        length, *others = right.array.shape
        flat = right.array.reshape(length, math.prod(others))
        (result,) = _bind(eqn, [left.array, flat])
        return result.reshape(*result.shape[:-1], *others)
    turned = _bind(
        eqn,
        [right.array, left.array],
        dimension_numbers=(contracted[::-1], batch[::-1]),
    )[0]
    # (batch, free of the right, free of the left, rows): exchange the two in the middle.
    first = len(batch[0])
    middle = jnp.ndim(right.array) - len(contracted[1])
    last = turned.ndim - 1
    return lax.transpose(turned, [*range(first), *range(middle, last), *range(first, middle), last])
