"""Inputs of a model that are held at a value: a sample rate, a state at its beginning."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from ._refusal import OnnxError
from ._sizes import closed_sizes, input_sizes


def hold_constant(
    model: onnx.ModelProto, values: Mapping[str, Any], dimensions: Mapping[str, int]
) -> set[str]:
    """Make constants of some of a model's inputs, in place.

    Args:
        model: whose graph is changed.
        values: {input: number, or nested lists of them in its shape}.
        dimensions: {name: size} for the dimensions that the file leaves open.

    Returns:
        The dimensions that these inputs needed.

    Raises:
        OnnxError: if there is no such input, or the values are none of its shape.
    """
    graph, needed = model.graph, set[str]()
    inputs = {value.name: value for value in graph.input}
    for name, value in values.items():
        if name not in inputs:
            raise OnnxError(f"network.constants: it has no input '{name}'")
        sizes = closed_sizes(inputs[name], input_sizes(inputs[name], dimensions, needed))
        try:
            kind = inputs[name].type.tensor_type.elem_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
            array = np.broadcast_to(np.asarray(value, np.float64), sizes)
            held = array.astype(dtype)
            if not np.issubdtype(dtype, np.floating) and not np.array_equal(held, array):
                raise ValueError
        except (TypeError, ValueError, KeyError) as error:
            raise OnnxError(
                f"network.constants: '{name}' must be a number, or numbers in the shape "
                f"{list(sizes)}, of the input's type; got {value}"
            ) from error
        for default in [tensor for tensor in graph.initializer if tensor.name == name]:
            graph.initializer.remove(default)
        graph.initializer.append(onnx.numpy_helper.from_array(held, name))
        graph.input.remove(inputs[name])
    return needed
