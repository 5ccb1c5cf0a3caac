"""A network from an ONNX model, whether a file held it or a converter wrote it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from hyperdiag.hyperdual import numerics, reason
from hyperdiag.messages.wording import counted
from hyperdiag.onnx import Model, OnnxError, all_nodes

from ..digest import digest_of
from ..facts import kinks_at
from ..network import Network, checked_ranges, known_moments
from .tensor_names import given_output_names, input_names, numbered

# Operators whose derivatives jump: there, D is zero or undefined, and says nothing of the jump.
_KINKS = {
    *("Abs", "Ceil", "Clip", "Elu", "Floor", "HardSigmoid", "HardSwish", "Hardmax", "LeakyRelu"),
    *("Max", "MaxPool", "Min", "Mod", "PRelu", "ReduceL1", "ReduceMax", "ReduceMin", "Relu"),
    *("Round", "Shrink", "Sign", "ThresholdedRelu", "TopK", "Where"),
}


@dataclass(frozen=True)
class Choice:
    """What configuration says of the inputs and outputs of a model.

    Attributes:
        inputs: a name for each number that goes in; None: those of the model, with 1, 2, ...
        outputs: which of the model's outputs are taken; or a name for each number of all of them.
        dimensions: {name: size} for the dimensions that the model leaves open.
        ranges: {input: [low, high]} where known.
        constants: {input: value or values} for the inputs that are no part of a point.
    """

    inputs: list[str] | None = None
    outputs: list[str] | None = None
    dimensions: Mapping[str, int] | None = None
    ranges: Mapping[str, Any] | None = None
    constants: Mapping[str, Any] | None = None


def network_of(
    name: str, proto: onnx.ModelProto, choice: Choice, description: str, dtype: str
) -> Network:
    """Return the network that an ONNX model is.

    Its library's values are those of ONNX's own reference implementation.

    Args:
        name: what configuration calls it.
        proto: the model.
        choice: what configuration says of it.
        description: one line for people.
        dtype: of the run.

    Raises:
        OnnxError: if it cannot be computed, naming the operator and the node.
        UsageError: if a choice does not fit it.
    """
    outputs = choice.outputs
    with numerics(dtype):
        model = Model(proto, choice.dimensions or {}, choice.constants)
        # What is not asked for need not be computed.
        chosen = outputs if outputs and set(outputs) <= set(model.outputs) else model.outputs
        parts = model.parts(chosen, np.dtype(dtype))
        try:
            shapes = jax.eval_shape(parts, jax.ShapeDtypeStruct((model.n_inputs,), dtype))
        except (RecursionError, MemoryError, ValueError) as error:
            raise OnnxError(reason(error)) from error
    numbers = [name for tensor in model.inputs for name in numbered(tensor.name, tensor.size)]
    inputs = input_names(numbers, choice.inputs)
    sizes = {at: shape.size for at, shape in zip(chosen, shapes, strict=True)}
    if outputs and not set(outputs) <= set(sizes):
        output_names = given_output_names(list(sizes), sum(sizes.values()), outputs)
    else:
        output_names = tuple(name for at, size in sizes.items() for name in numbered(at, size))
    moments = dict(zip(inputs, model.moments.T.tolist(), strict=True))
    whole = [tensor.whole for tensor in model.inputs for _ in range(tensor.size)]
    return Network(
        name=name,
        function=lambda x: jnp.concatenate(parts(x)),
        inputs=inputs,
        outputs=output_names,
        digest=digest_of(
            f"onnx {chosen} {sorted((choice.dimensions or {}).items())}",
            {"model": np.frombuffer(proto.SerializeToString(deterministic=True), np.uint8)},
        ),
        ranges=checked_ranges(choice.ranges),
        description=description,
        facts=_facts(model),
        not_differentiated=tuple(at for at, skip in zip(inputs, whole, strict=True) if skip),
        moments=known_moments(moments),
        library_values=lambda points: model.library_values(points, chosen),
        library_epsilon=model.epsilon,
    )


def _facts(model: Model) -> tuple[str, ...]:
    nodes = list(all_nodes(model.proto))
    operators = Counter(node.op_type for node in nodes)
    kinks = [node.name or node.output[0] for node in nodes if node.op_type in _KINKS]
    contents = (
        f"{counted(len(nodes), 'node')}, {counted(model.n_parameters, 'parameter')}: "
        + ", ".join(f"{name} {count}" for name, count in operators.most_common())
    )
    return contents, *kinks_at(kinks)
