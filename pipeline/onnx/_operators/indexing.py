"""Parts of arrays, picked or replaced.

Indices are constants mostly. Those that depend on the network's inputs were rounded or compared
before, so that what they pick has derivatives, and they themselves have none.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, is_constant
from .shapes import find_axes, find_axis

_REDUCTIONS = {"add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}

Places = tuple[Any, ...]  # an array of indices for each of the first axes, broadcast to each other


def _in_range(indices: Any, size: int) -> Any:
    """Return indices into an axis counted from its front, where negative ones are from its end.

    Raises:
        OnnxError: if they are constants, and one is beyond the axis.
    """
    if not is_constant(indices):
        return jnp.where(indices < 0, indices + size, indices)
    indices = np.asarray(indices).astype(np.int64)
    if np.any((indices < -size) | (indices >= size)):
        raise OnnxError(f"an index is beyond the axis, which has {size} entries")
    return np.where(indices < 0, indices + size, indices)


def _pick(data: Any, places: Places) -> Any:
    """Return the entries at these places; NaN for an index that depends on x and is beyond them."""
    constant = all(is_constant(each) for each in places)
    if constant and is_constant(data):
        return np.asarray(data)[places]
    return jnp.asarray(data).at[places].get(mode="promise_in_bounds" if constant else "fill")


def _replace(node: Node, data: Any, places: Places, new: Any) -> Any:
    """Return an array with new entries at these places, or old and new ones reduced there."""
    reduction = node.get("reduction", "none")
    if reduction not in ("none", *_REDUCTIONS):
        raise OnnxError(f"the reduction '{reduction}' is not known")
    if all(is_constant(value) for value in (data, new, *places)):
        copy = np.array(data)
        if reduction == "none":
            copy[places] = new
        else:
            getattr(np, _REDUCTIONS[reduction]).at(copy, places, new)
        return copy
    result = jnp.asarray(data)
    if reduction in ("none", "add"):
        at = result.at[places]
        return at.add(new) if reduction == "add" else at.set(new)
    reduce = getattr(jnp, _REDUCTIONS[reduction])
    if _are_distinct(places, result.shape):
        return result.at[places].set(reduce(result[places], new))
    return _reduce_in_turn(reduce, result, places, new)


def _are_distinct(places: Places, sizes: tuple[int, ...]) -> bool:
    """Return whether places are known to be different ones."""
    if not all(is_constant(each) for each in places):
        return False
    flat = np.ravel_multi_index(np.broadcast_arrays(*places), sizes[: len(places)])
    return np.unique(flat).size == flat.size


def _reduce_in_turn(reduce: Any, data: Any, places: Places, new: Any) -> Any:
    """Return an array in which each new entry is reduced with what is at its place by then.

    JAX differentiates neither products nor extremes of entries that may share a place.
    """
    shape = np.broadcast_shapes(*(np.shape(each) for each in places))
    flat = tuple(jnp.broadcast_to(each, shape).reshape(-1) for each in places)
    rows = jnp.reshape(new, (-1, *np.shape(new)[len(shape) :]))

    def one(result: Any, step: tuple[Places, Any]) -> tuple[Any, None]:
        place, row = step
        return result.at[place].set(reduce(result[place], row)), None

    return jax.lax.scan(one, data, (flat, rows))[0]


def _along(axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return 0, 1, ... along one axis of a shape, to be broadcast along the others."""
    sizes = [size if each == axis else 1 for each, size in enumerate(shape)]
    return np.arange(shape[axis]).reshape(sizes)


def _elementwise_places(data: Any, indices: Any, axis: int) -> Places:
    """Return the places of all indices along one axis, the other axes being their own."""
    shape, sizes = np.shape(indices), np.shape(data)
    if len(shape) != len(sizes):
        raise OnnxError(f"indices of {len(shape)} dimensions do not fit {len(sizes)} dimensions")
    if any(
        n > size for each, (n, size) in enumerate(zip(shape, sizes, strict=True)) if each != axis
    ):
        raise OnnxError(f"indices of shape {list(shape)} do not fit the shape {list(sizes)}")
    places: list[Any] = [_along(each, shape) for each in range(len(shape))]
    places[axis] = _in_range(indices, sizes[axis])
    return tuple(places)


def _tuple_places(data: Any, indices: Any, batch_dims: int = 0) -> Places:
    """Return the places that the last axis of the indices names, in each of the batches."""
    *shape, n = np.shape(indices)
    sizes = np.shape(data)
    if batch_dims + n > len(sizes):
        raise OnnxError(f"{n} indices do not fit an array of {len(sizes)} dimensions")
    batches = [_along(each, tuple(shape)) for each in range(batch_dims)]
    return (
        *batches,
        *(_in_range(indices[..., each], sizes[batch_dims + each]) for each in range(n)),
    )


@operator("Gather")
def _(node: Node) -> Any:
    """Entries along one axis; the axes of the indices take its place."""
    data, indices = node[0], node[1]
    axis = find_axis(node.get("axis", 0), np.ndim(data))
    shape = np.shape(data)
    check_size((*shape[:axis], *np.shape(indices), *shape[axis + 1 :]))
    places = _in_range(indices, shape[axis])
    if is_constant(places) and places.ndim == 0:
        places = int(places)
    return _pick(data, (slice(None),) * axis + (places,))


@operator("GatherElements")
def _(node: Node) -> Any:
    data, indices = node[0], node[1]
    axis = find_axis(node.get("axis", 0), np.ndim(data))
    return _pick(data, _elementwise_places(data, indices, axis))


@operator("GatherND")
def _(node: Node) -> Any:
    data, indices, batch_dims = node[0], node[1], node.get("batch_dims", 0)
    *shape, n = np.shape(indices)
    check_size((*shape, *np.shape(data)[batch_dims + n :]))
    return _pick(data, _tuple_places(data, indices, batch_dims))


@operator("Scatter", "ScatterElements")
def _(node: Node) -> Any:
    data, indices, new = node[0], node[1], node[2]
    axis = find_axis(node.get("axis", 0), np.ndim(data))
    return _replace(node, data, _elementwise_places(data, indices, axis), new)


@operator("ScatterND")
def _(node: Node) -> Any:
    data, indices, new = node[0], node[1], node[2]
    return _replace(node, data, _tuple_places(data, indices), new)


@operator("TensorScatter")
def _(node: Node) -> Any:
    """Writes into a cache from an index on, one for each batch; `circular` starts again at 0."""
    cache, new, xp = node[0], node[1], node.xp
    axis = find_axis(node.get("axis", -2), np.ndim(cache))
    cache, new = xp.moveaxis(cache, axis, 1), xp.moveaxis(new, axis, 1)
    n, length, size = len(cache), new.shape[1], cache.shape[1]
    first = np.zeros(n, np.int64) if node.get_input(2) is None else node[2]
    index = first[:, None] + np.arange(length)
    if node.get("mode", "linear") == "circular":
        index = index % size
    places = (np.arange(n)[:, None], _in_range(index, size))
    return xp.moveaxis(_replace(node, cache, places, new), 1, axis)


@operator("Slice")
def _(node: Node) -> Any:
    """As slices of Python. What were attributes before opset 10 are inputs since."""
    data = node[0]
    starts, ends = node.static(1, node.get("starts")), node.static(2, node.get("ends"))
    steps = node.static(4, np.ones(len(starts), np.int64))
    axes = find_axes(node, 3, np.ndim(data))
    slices = [slice(None)] * np.ndim(data)
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True
    ):
        slices[axis] = slice(int(start), int(end), int(step))
    return data[tuple(slices)]


@operator("OneHot")
def _(node: Node) -> Any:
    """The second of two values at the index, the first elsewhere."""
    depth = int(node.static(1).reshape(()))
    indices = cast(node[0], np.dtype(np.int64))
    shape = np.shape(indices)
    axis = find_axis(node.get("axis", -1), len(shape) + 1)
    check_size((*shape, depth))
    classes = np.arange(depth).reshape((-1,) + (1,) * (len(shape) - axis))
    xp = node.xp
    indices = xp.expand_dims(xp.where(indices < 0, indices + depth, indices), axis)
    return xp.where(indices == classes, node[2][1], node[2][0])


@operator("Compress")
def _(node: Node) -> Any:
    """The entries along an axis, or of the array in one row, for which a condition holds."""
    data, axis = node[0], node.get("axis")
    chosen = np.flatnonzero(node.static(1))
    if axis is None:
        data, axis = node.xp.reshape(data, -1), 0
    size = np.shape(data)[find_axis(axis, np.ndim(data))]
    return node.xp.take(data, _in_range(chosen, size), axis)


@operator("TopK")
def _(node: Node) -> tuple[Any, Any]:
    """Of equal ones the first comes first."""
    data = node[0]
    axis = find_axis(node.get("axis", -1), np.ndim(data))
    k = int(node.static(1, np.array(node.get("k", 0))).reshape(()))
    if not 0 <= k <= np.shape(data)[axis]:
        raise OnnxError(f"an axis of size {np.shape(data)[axis]} does not have {k} entries")
    if is_constant(data):
        key = _reversed_order(data) if node.get("largest", 1) else data
        order = np.argsort(key, axis, kind="stable")
        index: Any = np.take(order, np.arange(k), axis)
    else:
        key = data if node.get("largest", 1) else _reversed_order(data)
        key = jnp.moveaxis(jax.lax.stop_gradient(key), axis, -1)
        index = jnp.moveaxis(jax.lax.top_k(key, k)[1], -1, axis)
    index = cast(index, np.dtype(np.int64))
    return _pick(data, _elementwise_places(data, index, axis)), index


def _reversed_order(data: Any) -> Any:
    """Return numbers that are the larger, the smaller those of the array are."""
    return -data if np.issubdtype(data.dtype, np.floating) else ~data


@operator("ArgMax", "ArgMin")
def _(node: Node) -> Any:
    """Of equal ones the first, or with `select_last_index` the last."""
    xp, data = node.xp, node[0]
    find = xp.argmax if node.proto.op_type == "ArgMax" else xp.argmin
    axis = find_axis(node.get("axis", 0), np.ndim(data))
    keepdims = bool(node.get("keepdims", 1))
    if node.get("select_last_index", 0):
        last = np.shape(data)[axis] - 1
        index = last - find(xp.flip(data, axis), axis, keepdims=keepdims)
    else:
        index = find(data, axis, keepdims=keepdims)
    return cast(index, np.dtype(np.int64))


@operator("ReverseSequence")
def _(node: Node) -> Any:
    """The first entries of each sequence in reverse order, as many as its length says."""
    xp, lengths = node.xp, node[1]
    axes = (node.get("time_axis", 0), node.get("batch_axis", 1))
    data = xp.moveaxis(node[0], axes, (0, 1))
    time = np.arange(data.shape[0])[:, None]
    index = xp.where(time < lengths, lengths - 1 - time, time)
    return xp.moveaxis(_pick(data, (index, np.arange(data.shape[1]))), (0, 1), axes)


@operator("NonZero")
def _(node: Node) -> np.ndarray:
    """The places as columns; a number without axes has places without entries."""
    data = node.static(0)
    if data.ndim == 0:
        return np.zeros((0, int(data != 0)), np.int64)
    return np.stack(np.nonzero(data)).astype(np.int64)


@operator("Unique")
def _(node: Node) -> tuple[Any, ...]:
    """Sorted, or else in the order in which they first occur."""
    data, axis = node.static(0), node.get("axis")
    values, first, inverse, counts = np.unique(data, True, True, True, axis)
    inverse = inverse.reshape(-1)
    if not node.get("sorted", 1):
        order = np.argsort(first)
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return values, *(each.astype(np.int64) for each in (first, inverse, counts))
