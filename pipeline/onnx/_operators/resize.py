"""Images of another size.

What an axis of the result is made of is known before any image is: along each axis the result is
the product with a matrix of weights, or where each entry is one of the image's, picks those.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, is_constant
from .shapes import find_axes

_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


class _Axis(NamedTuple):
    """How one axis is resized.

    Attributes:
        old: its size.
        new: its size in the result.
        scale: the ratio that was asked for, which need not be that of the sizes.
        start: where the part begins that becomes the whole, from 0 to 1.
        end: where that part ends.
    """

    old: int
    new: int
    scale: float
    start: float = 0.0
    end: float = 1.0


@operator("Upsample", "Resize")
def _(node: Node) -> Any:
    """By scales alone, from the first pixel's corner on."""
    data = node[0]
    scales = node.static(1, node.get("scales"))
    axes = {
        axis: _Axis(size, _scaled(size, scale), float(scale))
        for axis, (size, scale) in enumerate(zip(np.shape(data), scales, strict=True))
    }
    return _resize(node, data, axes, "asymmetric", "floor")


@operator("Resize", since=11)
def _(node: Node) -> Any:
    coordinates = node.get("coordinate_transformation_mode", "half_pixel")
    nearest = node.get("nearest_mode", "round_prefer_floor")
    return _resize(node, node[0], _axes(node, coordinates), coordinates, nearest)


def _axes(node: Node, coordinates: str) -> dict[int, _Axis]:
    """Return how each axis is resized that a node names."""
    shape = np.shape(node[0])
    axes = find_axes(node, len(node.inputs), len(shape)) or tuple(range(len(shape)))
    n = len(axes)
    old = [shape[axis] for axis in axes]
    if 0 in old:
        raise OnnxError(f"an image of shape {list(shape)} has no pixels")
    parts = np.repeat([[0.0], [1.0]], n, 1)
    if coordinates == "tf_crop_and_resize":
        parts = np.asarray(node.static(1, parts), float).reshape(2, n)
    scales, sizes = node.static(2), node.static(3)
    if scales is not None and scales.size > 0:
        extents = np.asarray(old, np.float32) * (parts[1] - parts[0]).astype(np.float32)
        new = [_scaled(*pair) for pair in zip(extents, scales, strict=True)]
    elif sizes is None:
        raise OnnxError("it says neither a scale nor a size")
    else:
        new, scales = _sized(old, sizes, node.get("keep_aspect_ratio_policy", "stretch"))
    return {
        axis: _Axis(*each)
        for axis, *each in zip(axes, old, new, map(float, scales), *parts.tolist(), strict=True)
    }


def _scaled(size: Any, scale: Any) -> int:
    """Return a size times a scale, rounded off. In float32, as those who wrote the file had it."""
    return check_size((np.floor(np.float32(size) * np.float32(scale)),))[0]


def _sized(old: list[int], sizes: np.ndarray, policy: str) -> tuple[list[int], np.ndarray]:
    """Return the new sizes and the scales, by what becomes of the ratio of the axes."""
    scales = np.asarray(sizes, float) / old
    if policy == "stretch":
        return list(check_size(sizes)), scales
    scale = scales.min() if policy == "not_larger" else scales.max()
    new = check_size(np.floor(scale * np.asarray(old) + 0.5))
    return list(new), np.full(len(old), scale)


def _resize(node: Node, data: Any, axes: dict[int, _Axis], coordinates: str, nearest: str) -> Any:
    shape = list(np.shape(data))
    for axis, each in axes.items():
        if not 0 < each.scale < np.inf:
            raise OnnxError(f"axis {axis} has the scale {each.scale}, which is not above 0")
        shape[axis] = each.new
    check_size(shape)
    xp, result, mode = node.xp, data, node.get("mode", "nearest")
    xp = np if is_constant(data) else xp
    outside = np.zeros(shape, bool)
    for axis, each in axes.items():
        places = _places(each, coordinates)
        if coordinates == "tf_crop_and_resize":
            beyond = (places < 0) | (places > each.old - 1)
            outside |= beyond.reshape((-1,) + (1,) * (len(shape) - axis - 1))
        if mode == "nearest":
            result = _pick(xp, result, axis, _NEAREST[nearest](places))
        elif each.new != each.old or not np.array_equal(places, np.arange(each.old)):
            matrix = _matrix(node, each, places).astype(node.real)
            result = xp.moveaxis(xp.tensordot(result, matrix, ([axis], [1])), -1, axis)
    if outside.any():
        result = xp.where(outside, node.real.type(node.get("extrapolation_value", 0.0)), result)
    return cast(result, data.dtype)


def _places(axis: _Axis, coordinates: str) -> np.ndarray:
    """Return where the entries of the result are on the axis of the image.

    Formulas: https://onnx.ai/onnx/operators/onnx__Resize.html, `coordinate_transformation_mode`.
    """
    x = np.arange(axis.new, dtype=float)
    length = axis.scale * axis.old  # a fraction, where the new size is rounded
    if coordinates == "half_pixel":
        return (x + 0.5) / axis.scale - 0.5
    if coordinates == "half_pixel_symmetric":
        return axis.old / 2 * (1 - axis.new / length) + (x + 0.5) / axis.scale - 0.5
    if coordinates == "pytorch_half_pixel":
        return (x + 0.5) / axis.scale - 0.5 if axis.new > 1 else x
    if coordinates == "asymmetric":
        return x / axis.scale
    if coordinates == "align_corners":
        return x * (axis.old - 1) / (length - 1) if length != 1 else x
    if coordinates == "tf_crop_and_resize":
        part = axis.end - axis.start
        steps = x / (axis.new - 1) if axis.new > 1 else x + 0.5
        return (axis.start + part * steps) * (axis.old - 1)
    raise OnnxError(f"the coordinate transformation '{coordinates}' is not known")


def _pick(xp: Any, data: Any, axis: int, places: np.ndarray) -> Any:
    """Return the entries at places along an axis, those beyond it being its first or last."""
    size = np.shape(data)[axis]
    index = np.clip(places, 0, size - 1).astype(np.int64)
    times = len(index) // size
    if times and np.array_equal(index, np.arange(size).repeat(times)):
        return xp.repeat(data, times, axis) if times > 1 else data
    return data[(slice(None),) * axis + (index,)]


def _matrix(node: Node, axis: _Axis, places: np.ndarray) -> np.ndarray:
    """Return the weights of an axis' entries in those of the result.

    A kernel is centred at each place. With `antialias` it is as wide as the step from one place to
    the next. Beyond the axis are its first and last entries, or with `exclude_outside` none.
    """
    mode = node.get("mode")
    if mode == "linear":
        kernel, reach = _triangle, 1.0
    elif mode == "cubic":
        slope = node.get("cubic_coeff_a", -0.75)
        kernel, reach = lambda t: _cubic(t, slope), 2.0
    else:
        raise OnnxError(f"the mode '{mode}' is not known")
    narrow = min(axis.scale, 1.0) if node.get("antialias", 0) else 1.0
    furthest = np.ceil(reach / narrow)
    check_size((axis.new + 1, max(2 * furthest + 1, axis.old)))
    steps = np.arange(-furthest, furthest + 1)
    index = np.floor(places)[:, None] + steps
    weights = kernel((index - places[:, None]) * narrow)
    if node.get("exclude_outside", 0):
        weights = np.where((index >= 0) & (index < axis.old), weights, 0.0)
    total = weights.sum(1, keepdims=True)
    weights = weights / np.where(total == 0, 1.0, total)
    matrix = np.zeros((axis.new, axis.old))
    columns = np.clip(index, 0, axis.old - 1).astype(np.int64)
    np.add.at(matrix, (np.arange(axis.new)[:, None], columns), weights)
    return matrix


def _triangle(t: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Return the kernel of cubic convolution, whose slope at 1 is `a`.

    R. Keys, Cubic convolution interpolation for digital image processing (1981), equation (4).
    """
    t = np.abs(t)
    inner = ((a + 2) * t - (a + 3)) * t**2 + 1
    outer = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, inner, np.where(t < 2, outer, 0.0))
