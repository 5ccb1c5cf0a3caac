"""Operators that the standard itself writes as functions of others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper


def standard_function(
    node: onnx.NodeProto, domain: str, opset: int, inputs: Sequence[Any]
) -> tuple[onnx.FunctionProto, dict[str, onnx.AttributeProto]] | None:
    """Return the function that the standard gives for an operator, and its attributes' defaults.

    None if it gives none.

    Args:
        node: whose operator it is.
        domain: of the operator set.
        opset: its version.
        inputs: the values of the node's inputs, on whose types the function may depend.
    """
    try:
        # What the package says of types leaves out some of what a schema has.
        schema: Any = defs.get_schema(node.op_type, opset, domain)
    except defs.SchemaError:
        return None
    defaults = {
        name: attribute.default_value
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    if schema.has_function:
        return schema.function_body, defaults
    if not schema.has_context_dependent_function:
        return None
    types = [
        helper.make_tensor_type_proto(
            onnx.TensorProto.UNDEFINED
            if value is None
            else helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype)),
            None if value is None else np.shape(value),
        ).SerializeToString()
        for value in inputs
    ]
    body = schema.get_context_dependent_function(node.SerializeToString(), types)
    function = onnx.FunctionProto()
    function.ParseFromString(body)
    return function, defaults
