"""Pooling: averages, largest entries and norms over windows, or over whole images."""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size
from ._by_jax import by_jax
from ._norms import check_order, power, root
from ._windows import Axis, padding, spatial_axes, steps


@operator("GlobalAveragePool")
def _(node: Node) -> Any:
    return node[0].mean(_spatial(node), keepdims=True)


@operator("GlobalMaxPool")
def _(node: Node) -> Any:
    return node[0].max(_spatial(node), keepdims=True)


@operator("GlobalLpPool")
def _(node: Node) -> Any:
    order = check_order(node.get("p", 2))
    total = power(node[0], order, node.xp).sum(_spatial(node), keepdims=True)
    return root(total, order, node.xp)


@operator("AveragePool")
def _(node: Node) -> Any:
    """Padding is counted only if `count_include_pad` says so."""
    axes = _axes(node)
    total = by_jax(partial(_sum, axes=axes), node[0])
    counts = _counts(axes, bool(node.get("count_include_pad", 0)))
    if np.all(counts == counts.flat[0]):
        return total / float(counts.flat[0])
    return total / counts.astype(node.real)


@operator("LpPool")
def _(node: Node) -> Any:
    order = check_order(node.get("p", 2))
    total = by_jax(partial(_sum, axes=_axes(node)), power(node[0], order, node.xp))
    return root(total, order, node.xp)


@operator("MaxPool")
def _(node: Node) -> Any:
    """With the index of each largest entry, in the array as a list, if that is wanted."""
    value, axes = node[0], _axes(node)
    result = by_jax(partial(_max, axes=axes), value)
    if not node.wants(1):
        return result
    by_columns = bool(node.get("storage_order", 0))
    indices = by_jax(partial(_places_of_max, axes=axes, by_columns=by_columns), value)
    return result, cast(indices, np.dtype("int64"))


@operator("MaxUnpool")
def _(node: Node) -> Any:
    """Puts each entry where its index says; what no index names is 0."""
    value, indices = node[0], node[1]
    lengths, sizes = value.shape[2:], node.get("kernel_shape")
    strides, pads = steps(node, "strides", lengths), padding(node, lengths)
    spatial = [
        (length - 1) * stride + size - sum(ends)
        for length, stride, size, ends in zip(lengths, strides, sizes, pads, strict=True)
    ]
    shape = check_size((*value.shape[:2], *spatial))
    wanted = check_size(node.static(2, shape))
    if len(wanted) != len(shape) or any(w < size for w, size in zip(wanted, shape, strict=True)):
        raise OnnxError(f"output_shape {list(wanted)} is less than {list(shape)}, the least")
    placed = by_jax(partial(_placed, shape=shape), value, indices)
    more = [(0, w - size) for w, size in zip(wanted, shape, strict=True)]
    return node.xp.pad(placed, more)


def _spatial(node: Node) -> tuple[int, ...]:
    return tuple(range(2, node[0].ndim))


def _axes(node: Node) -> list[Axis]:
    return spatial_axes(node, node[0].shape[2:], node.get("kernel_shape"))


def _sum(value: Any, axes: Sequence[Axis]) -> jax.Array:
    return _over_windows(value, axes, 0, lax.add)


def _max(value: Any, axes: Sequence[Axis]) -> jax.Array:
    return _over_windows(value, axes, _least(value.dtype), lax.max)


def _over_windows(
    value: Any, axes: Sequence[Axis], outside: Any, join: Callable[..., Any]
) -> jax.Array:
    return lax.reduce_window(
        jnp.asarray(value),
        np.asarray(outside, value.dtype)[()],
        join,
        (1, 1, *(axis.size for axis in axes)),
        (1, 1, *(axis.stride for axis in axes)),
        ((0, 0), (0, 0), *(axis.padding for axis in axes)),
        window_dilation=(1, 1, *(axis.dilation for axis in axes)),
    )


def _least(dtype: Any) -> Any:
    return -np.inf if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min


def _counts(axes: Sequence[Axis], with_padding: bool) -> np.ndarray:
    """Return how many entries of the window are in the array, or in its padding, at each place."""
    each = []
    for axis in axes:
        first, end = (-axis.before, axis.length + axis.after) if with_padding else (0, axis.length)
        each.append(((axis.entries >= first) & (axis.entries < end)).sum(1))
    return np.maximum(reduce(np.multiply.outer, each), 1)


def _places_of_max(value: Any, axes: Sequence[Axis], by_columns: bool) -> jax.Array:
    """Return the index of the first largest entry of each window, as if there were no padding.

    Args:
        value: (images, channels, ...).
        axes: along which the windows move.
        by_columns: spatial indices count up along the first spatial axis first, not the last.
    """
    value = lax.stop_gradient(jnp.asarray(value))
    lengths, places = [axis.length for axis in axes], [axis.places for axis in axes]
    sizes = [axis.size for axis in axes]
    check_size((*value.shape[:2], *sizes, *places))
    outside = jnp.asarray(_least(value.dtype), value.dtype)
    padded = lax.pad(value, outside, [(0, 0, 0), (0, 0, 0), *((*a.padding, 0) for a in axes)])
    order: Literal["F", "C"] = "F" if by_columns else "C"
    met, inside, index = [], [], []
    for entry in np.ndindex(*sizes):
        starts = [at * axis.dilation for at, axis in zip(entry, axes, strict=True)]
        spans = [
            slice(start, start + (axis.places - 1) * axis.stride + 1, axis.stride)
            for start, axis in zip(starts, axes, strict=True)
        ]
        met.append(padded[:, :, *spans])
        at = np.meshgrid(
            *(a.entries[:, e] for a, e in zip(axes, entry, strict=True)), indexing="ij"
        )
        here = [(where >= 0) & (where < n) for where, n in zip(at, lengths, strict=True)]
        inside.append(reduce(np.logical_and, here))
        index.append(np.ravel_multi_index(at, lengths, mode="clip", order=order))
    joined = jnp.stack(met)
    largest = (joined == joined.max(0)) & np.stack(inside)[:, None, None]
    choice = jnp.argmax(largest, axis=0)[None]
    within = jnp.take_along_axis(jnp.asarray(np.stack(index))[:, None, None], choice, axis=0)[0]
    n_images, channels = value.shape[:2]
    first = np.arange(n_images * channels) * int(np.prod(lengths))
    return within + first.reshape(n_images, channels, *[1] * len(axes))


def _placed(value: Any, indices: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return zeros with entries in them; of two with one index, either is taken."""
    flat, total = jnp.ravel(value), int(np.prod(shape))
    numbers = jnp.arange(1, flat.size + 1)
    source = jnp.zeros(total, numbers.dtype).at[jnp.ravel(indices)].set(numbers)
    with_zero = jnp.concatenate([jnp.zeros(1, flat.dtype), flat])
    return with_zero[source].reshape(shape)
