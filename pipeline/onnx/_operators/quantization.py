"""Whole numbers that stand for real ones: q stands for (q - zero point) * scale."""

from dataclasses import replace
from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import STANDARD, find_operator, operator
from .._values import cast, dtype_of


@operator("DequantizeLinear")
def _(node: Node) -> Any:
    value = cast(node[0], node.real)
    zero = node.get_input(2)
    if zero is not None:
        value = value - _spread(node, cast(zero, node.real), value.shape)
    return value * _spread(node, cast(node[1], node.real), value.shape)


@operator("QuantizeLinear")
def _(node: Node) -> Any:
    """Rounded to even, into a type of whole numbers; its derivative is 0."""
    value = cast(node[0], node.real)
    zero = node.get_input(2)
    code = node.get("output_dtype", 0)
    dtype = dtype_of(code, node.real) if code else np.dtype(np.uint8)
    dtype = dtype if zero is None else np.dtype(zero.dtype)
    scale = _spread(node, cast(node[1], node.real), value.shape)
    zero = 0 if zero is None else _spread(node, cast(zero, node.real), value.shape)
    return _quantized(node, value / scale, zero, dtype)


@operator("QLinearMatMul")
def _(node: Node) -> Any:
    """The first matrix may have a scale for each row, the second for each column."""
    a, a_scale, a_zero = node[0], _rows(node[1]), _rows(node[2])
    b, b_scale, b_zero = node[3], node[4], node[5]
    product = node.xp.matmul(_shifted(node, a, a_zero), _shifted(node, b, b_zero))
    factor = cast(a_scale, node.real) * cast(b_scale, node.real) / cast(node[6], node.real)
    return _quantized(node, product * factor, cast(node[7], node.real), node[7].dtype)


@operator("MatMulInteger")
def _(node: Node) -> Any:
    a, b = (cast(node[i], np.dtype(np.int32)) for i in (0, 1))
    if node.get_input(2) is not None:
        a = a - _rows(cast(node[2], a.dtype))
    if node.get_input(3) is not None:
        b = b - cast(node[3], b.dtype)
    return node.xp.matmul(a, b)


@operator("QLinearConv")
def _(node: Node) -> Any:
    """The filters may have a scale for each output channel."""
    result = _convolution(node, node[0], node[2], node[3], node[5])
    scale = cast(node[1], node.real) * cast(node[4], node.real)
    if node.get_input(8) is not None:
        result = result + _channels(cast(node[8], node.real), result.ndim, 1)
    factor = _channels(scale / cast(node[6], node.real), result.ndim, 1)
    return _quantized(node, result * factor, cast(node[7], node.real), node[7].dtype)


@operator("ConvInteger")
def _(node: Node) -> Any:
    """Computed in real numbers, which hold the sums exactly as long as they are small enough."""
    result = _convolution(node, node[0], node.get_input(2), node[1], node.get_input(3))
    return cast(node.xp.round(result), np.dtype(np.int32))


def _convolution(node: Node, x: Any, x_zero: Any, filters: Any, zero: Any) -> Any:
    """Return the convolution of whole numbers, without scales, as real ones."""
    convolve = find_operator(STANDARD, "Conv", node.opset)
    if convolve is None:
        raise OnnxError("convolutions are not known here")
    zero = None if zero is None else _channels(zero, filters.ndim, 0)
    return convolve(
        replace(node, inputs=[_shifted(node, x, x_zero), _shifted(node, filters, zero)])
    )


def _shifted(node: Node, value: Any, zero: Any) -> Any:
    """Return q - zero point as real numbers."""
    value = cast(value, node.real)
    return value if zero is None else value - cast(zero, node.real)


def _quantized(node: Node, value: Any, zero: Any, dtype: Any) -> Any:
    """Return round(value) + zero point, within the bounds of a type of whole numbers."""
    if not np.issubdtype(dtype, np.integer):
        raise OnnxError(f"real numbers are not turned into {dtype} here; leave the model as it was")
    bounds = np.iinfo(dtype)
    low, high = (node.real.type(bound) for bound in (bounds.min, bounds.max))
    return cast(node.xp.clip(node.xp.round(value) + zero, low, high), np.dtype(dtype))


def _spread(node: Node, parameter: Any, shape: tuple[int, ...]) -> Any:
    """Return a scale or zero point in a shape that goes with the array that has it.

    There is one for the array, for each place along an axis, or for each block along it.
    """
    if np.size(parameter) == 1:
        return parameter.reshape(())
    axis = node.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    block = node.get("block_size", 0)
    if block:
        repeated = node.xp.repeat(parameter, block, axis=axis)
        return repeated[(slice(None),) * axis + (slice(shape[axis]),)]
    return _channels(parameter, len(shape), min(axis, len(shape) - 1))


def _channels(parameter: Any, n_axes: int, axis: int) -> Any:
    """Return a vector along one axis of an array; what is one number remains one."""
    if np.size(parameter) == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis else 1 for i in range(n_axes)])


def _rows(parameter: Any) -> Any:
    """Return what is given for each row of a matrix as a column."""
    return parameter[:, None] if np.ndim(parameter) == 1 and np.size(parameter) > 1 else parameter
