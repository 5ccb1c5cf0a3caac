"""Small models, written as files."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def graph_of(nodes, inputs=None, outputs=None, constants=None, name="graph"):
    """Return a graph; inputs and outputs are {name: shape} of floats, constants {name: array}."""
    inputs = {"x": [None, 3]} if inputs is None else inputs
    outputs = {"y": None} if outputs is None else outputs
    return helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, s) for at, s in inputs.items()],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, s) for at, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), at) for at, a in (constants or {}).items()],
    )


def model_of(*nodes, opset=20, functions=(), domains=(), **parts):
    """Return a model of nodes, each `(operator, inputs, outputs, attributes)`."""
    made = [
        node
        if isinstance(node, onnx.NodeProto)
        else helper.make_node(node[0], node[1].split(), node[2].split(), **(node[3:] or [{}])[0])
        for node in nodes
    ]
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph_of(made, **parts), opset_imports=imports, functions=functions)


def saved(model, path):
    """Write a model, or bytes, and return the path as text."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(content)
    return str(path)
