"""Sums and their like along axes.

The axes are an attribute or an input, by operator and version. If none are named, all are meant,
or with `noop_with_empty_axes` none.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._node import Node
from .._registry import operator
from .._values import cast, is_constant
from .shapes import find_axes, find_axis

Axes = tuple[int, ...]

# From NumPy or JAX's, an array, axes, and whether they are kept, to the array without them.
Reduction = Callable[[Any, Any, Axes, bool], Any]


def _sum(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return xp.sum(data, axes, data.dtype, keepdims=keepdims)


def _mean(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return xp.mean(data, axes, keepdims=keepdims)


def _max(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return _extreme(xp.max, data, axes, keepdims, _least(data.dtype))


def _min(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return _extreme(xp.min, data, axes, keepdims, _greatest(data.dtype))


def _extreme(extreme: Any, data: Any, axes: Axes, keepdims: bool, of_none: Any) -> Any:
    if np.size(data) > 0:
        return extreme(data, axes, keepdims=keepdims)
    return extreme(data, axes, keepdims=keepdims, initial=of_none)


def _least(dtype: np.dtype) -> Any:
    """Return the maximum of no numbers at all."""
    if np.issubdtype(dtype, np.floating):
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _greatest(dtype: np.dtype) -> Any:
    """Return the minimum of no numbers at all."""
    if np.issubdtype(dtype, np.floating):
        return np.inf
    return True if dtype.kind == "b" else np.iinfo(dtype).max


def _product(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return xp.prod(data, axes, data.dtype, keepdims=keepdims)


def _l1(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return _sum(xp, xp.abs(data), axes, keepdims)


def _sum_of_squares(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return _sum(xp, xp.square(data), axes, keepdims)


def _l2(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return xp.sqrt(_sum_of_squares(xp, data, axes, keepdims))


def _log_sum(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    return xp.log(_sum(xp, data, axes, keepdims))


def _log_sum_exp(xp: Any, data: Any, axes: Axes, keepdims: bool) -> Any:
    """Return log(sum(exp(x - m))) + m for the maximum m, of which it does not depend."""
    fixed = data if is_constant(data) else jax.lax.stop_gradient(data)
    greatest = _max(xp, fixed, axes, True)
    greatest = xp.where(xp.isfinite(greatest), greatest, xp.zeros_like(greatest))
    total = _sum(xp, xp.exp(data - greatest), axes, keepdims)
    return xp.log(total) + xp.reshape(greatest, total.shape)


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": _product,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _sum_of_squares,
}


@operator(*_REDUCTIONS)
def _(node: Node) -> Any:
    """Of the type of the array, also where it is of whole numbers."""
    data = node[0]
    axes = find_axes(node, 1, np.ndim(data))
    if not axes:
        axes = () if node.get("noop_with_empty_axes", 0) else tuple(range(np.ndim(data)))
    reduce = _REDUCTIONS[node.proto.op_type]
    return cast(reduce(node.xp, data, axes, bool(node.get("keepdims", 1))), data.dtype)


@operator("CumSum", "CumProd")
def _(node: Node) -> Any:
    """From the start on, or the end with `reverse`; without the entry itself if `exclusive`."""
    data, xp = node[0], node.xp
    is_sum = node.proto.op_type == "CumSum"
    accumulate = xp.cumsum if is_sum else xp.cumprod
    axis = find_axis(int(node.static(1).reshape(())), np.ndim(data))
    reverse = node.get("reverse", 0)
    if reverse:
        data = xp.flip(data, axis)
    if node.get("exclusive", 0):
        before = np.full(_with_size(data, axis, 1), 0 if is_sum else 1, data.dtype)
        kept = (slice(None),) * axis + (slice(0, -1),)
        data = xp.concatenate([before, data[kept]], axis)
    result = accumulate(data, axis, data.dtype)
    return xp.flip(result, axis) if reverse else result


def _with_size(data: Any, axis: int, size: int) -> tuple[int, ...]:
    shape = np.shape(data)
    return (*shape[:axis], size, *shape[axis + 1 :])
