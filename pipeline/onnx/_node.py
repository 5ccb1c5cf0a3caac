"""A node of a graph, as the function of an operator sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnx
from onnx import AttributeProto

from ._refusal import OnnxError
from ._values import constant, is_constant

# Runs a graph that is an attribute of a node, from values for its inputs to those of its outputs.
RunGraph = Callable[[onnx.GraphProto, Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Node:
    """One node, with the values of its inputs.

    Attributes:
        proto: as in the file.
        inputs: the values; None where one is left out. The last may be absent altogether.
        opset: the version of the operator set to which the node's operator belongs.
        real: the dtype that stands for every floating-point type.
        run_graph: runs a graph that is an attribute.
        attributes: by name, as they are in the file.
    """

    proto: onnx.NodeProto
    inputs: Sequence[Any]
    opset: int
    real: np.dtype
    run_graph: RunGraph
    attributes: Mapping[str, AttributeProto]

    @property
    def xp(self) -> Any:
        """NumPy if all inputs are constants, which makes its results constants too; else JAX's."""
        return np if all(is_constant(value) for value in self.inputs) else jnp

    def __getitem__(self, index: int) -> Any:
        """The value of an input that must be there.

        Raises:
            OnnxError: if it is left out.
        """
        value = self.get_input(index)
        if value is None:
            raise OnnxError(f"input {index} is missing")
        return value

    def get_input(self, index: int) -> Any:
        """Return the value of an input; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def static(self, index: int, default: Any = None) -> Any:
        """Return an input that must be a constant, as a NumPy array; the default if left out.

        Raises:
            OnnxError: if it depends on the inputs of the network.
        """
        value = self.get_input(index)
        if value is None:
            return default
        if not is_constant(value):
            raise OnnxError(
                f"input {index} ('{self.proto.input[index]}') decides the shape of the result, and "
                "depends on the inputs of the network; export the model with fixed shapes"
            )
        return np.asarray(value)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute: numbers, text, lists of them, arrays in `real`, or a graph."""
        if name not in self.attributes:
            return default
        attribute = self.attributes[name]
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            return constant(value, self.real)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if attribute.type == AttributeProto.STRINGS:
            return [text.decode("utf-8", "replace") for text in value]
        return list(value) if attribute.type in _LISTS else value

    @property
    def n_outputs(self) -> int:
        """How many outputs are listed, those without a name included."""
        return len(self.proto.output)

    def wants(self, index: int) -> bool:
        """Return whether an output is used."""
        return index < self.n_outputs and bool(self.proto.output[index])


_LISTS = {AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.GRAPHS}
