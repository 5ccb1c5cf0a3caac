"""What a graph tells of the data that it was trained on: how it scales its inputs."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from ._registry import ML, STANDARD
from ._values import constant

_DOUBLE = np.dtype("float64")
# Operators that leave numbers and their axes as they are, so that a constant goes with each.
_SAME = {"Cast", "Flatten", "Identity"}
# Numbers beyond it, of a damaged file, are no data that float32 could hold.
_LARGEST = 1e30


def input_moments(graph: onnx.GraphProto, name: str, size: int) -> np.ndarray:
    """Return the mean and the standard deviation, (2, size), that an input is scaled with.

    That is, the first (x - mean) / deviation that it goes through, as subtraction and division, as
    a batch normalization in use, or as scikit-learn's scaler.

    Args:
        graph: of the model.
        name: of the input.
        size: how many numbers it has.

    Returns:
        nan for what is not scaled, or not by finite numbers.

    Raises:
        OnnxError: if the data of a constant does not fit its shape.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [attribute.t for attribute in node.attribute if attribute.HasField("t")]
            tensors |= zip(node.output, values, strict=False)  # a damaged one may have neither

    def held(at: str) -> np.ndarray | None:
        tensor = tensors.get(at)
        if tensor is None or math.prod(tensor.dims) not in (1, size):
            return None
        return np.broadcast_to(constant(tensor, _DOUBLE).reshape(-1), (size,))

    for node in _takers(graph, name):
        mean, deviation = None, None
        if (node.domain, node.op_type) == (ML, "Scaler"):
            numbers = {attribute.name: attribute.floats for attribute in node.attribute}
            mean, factor = (np.array(numbers.get(key, [])) for key in ("offset", "scale"))
            with np.errstate(all="ignore"):
                deviation = 1 / factor
        elif node.domain != STANDARD:
            continue
        elif node.op_type == "BatchNormalization":
            mean, variance = held(_operand(node, 3)), held(_operand(node, 4))
            deviation = None if variance is None else np.sqrt(np.abs(variance))
        elif node.op_type == "Sub":
            mean = held(_operand(node, 1))
            deviation = _divisor(graph, node.output[0], held)
        if mean is not None and deviation is not None and mean.shape == deviation.shape == (size,):
            sane = (np.abs(mean) < _LARGEST) & (deviation > 0) & (deviation < _LARGEST)
            return np.where(sane, [mean, deviation], np.nan)
    return np.full((2, size), np.nan)


def _takers(graph: onnx.GraphProto, name: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes whose first input is what this name stands for, in another shape or type."""
    names = {name}
    for node in graph.node:  # each stands behind what it takes
        if node.input and node.output and node.input[0] in names:
            if node.op_type in _SAME and node.domain == STANDARD:
                names.add(node.output[0])
            else:
                yield node


def _operand(node: onnx.NodeProto, at: int) -> str:
    return node.input[at] if at < len(node.input) else ""


def _divisor(graph: onnx.GraphProto, name: str, held: Any) -> np.ndarray | None:
    """Return the constant that this value is divided by, or whose inverse it is multiplied with."""
    for node in _takers(graph, name):
        if node.op_type in ("Div", "Mul") and node.domain == STANDARD:
            number = held(_operand(node, 1))
            if number is not None:
                with np.errstate(all="ignore"):
                    return np.abs(number if node.op_type == "Div" else 1 / number)
    return None
