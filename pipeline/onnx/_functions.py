"""Operators that the standard itself writes as functions of others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper


def standard_function(
    node: onnx.NodeProto, domain: str, opset: int, inputs: Sequence[Any]
) -> onnx.FunctionProto | None:
    """Return the function that the standard gives for an operator; None if it gives none.

    Args:
        node: whose operator it is.
        domain: of the operator set.
        opset: its version.
        inputs: the values of the node's inputs, on whose types the function may depend.
    """
    try:
        schema = defs.get_schema(node.op_type, opset, domain)
    except defs.SchemaError:
        return None
    if schema.has_function:
        return schema.function_body
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
    return function
