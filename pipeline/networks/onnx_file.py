"""A network from an ONNX file, as PyTorch, scikit-learn, TensorFlow, MATLAB and R write them."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import numerics, reason
from hyperdiag.messages.errors import UsageError, closest, listed
from hyperdiag.messages.wording import counted

from .digest import digest_of
from .network import Network, checked_ranges

if TYPE_CHECKING:
    from hyperdiag.onnx import Model

# Operators whose derivatives jump: there, D is zero or undefined, and says nothing of the jump.
_KINKS = {
    *("Abs", "Ceil", "Clip", "Elu", "Floor", "HardSigmoid", "HardSwish", "Hardmax", "LeakyRelu"),
    *("Max", "MaxPool", "Min", "Mod", "PRelu", "ReduceL1", "ReduceMax", "ReduceMin", "Relu"),
    *("Round", "Shrink", "Sign", "ThresholdedRelu", "TopK", "Where"),
}


def build(
    path: str,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    dimensions: dict[str, int] | None = None,
    ranges: dict[str, Any] | None = None,
    compare: bool = True,
    dtype: str = "float32",
) -> Network:
    """A model of an ONNX file: network.path=model.onnx (extra `onnx`)."""
    try:
        from hyperdiag.onnx import Model, OnnxError
    except ImportError as error:
        raise UsageError(
            "network 'onnx' needs the package onnx: pip install 'hyperdiag[onnx]'"
        ) from error
    file = Path(path).expanduser()
    try:
        with numerics(dtype):
            model = Model(file, dimensions or {})
            # What is not asked for need not be computed.
            chosen = outputs if outputs and set(outputs) <= set(model.outputs) else model.outputs
            parts = model.parts(chosen, np.dtype(dtype))
            shapes = jax.eval_shape(parts, jax.ShapeDtypeStruct((model.n_inputs,), dtype))
    except OnnxError as error:
        raise UsageError(f"network.path={path}: {error}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise UsageError(f"network.path={path}: {reason(error)}") from error
    input_names = _inputs(model, inputs)
    whole = [tensor.whole for tensor in model.inputs for _ in range(tensor.size)]
    return Network(
        name="onnx",
        function=lambda x: jnp.concatenate(parts(x)),
        inputs=input_names,
        outputs=_outputs({name: s.size for name, s in zip(chosen, shapes, strict=True)}, outputs),
        digest=digest_of(
            f"onnx {chosen} {sorted((dimensions or {}).items())}",
            {"model": np.frombuffer(model.proto.SerializeToString(deterministic=True), np.uint8)},
        ),
        ranges=checked_ranges(ranges),
        description=file.name,
        facts=_facts(model),
        not_differentiated=tuple(
            name for name, skip in zip(input_names, whole, strict=True) if skip
        ),
        library_values=(lambda points: model.library_values(points, chosen)) if compare else None,
        library_epsilon=model.epsilon,
    )


def _numbered(name: str, size: int) -> list[str]:
    """Return the names of a tensor's numbers: its own where it has one, else with 1, 2, ..."""
    return [name] if size == 1 else [f"{name}{index + 1}" for index in range(size)]


def _inputs(model: "Model", names: list[str] | None) -> tuple[str, ...]:
    numbers = [name for tensor in model.inputs for name in _numbered(tensor.name, tensor.size)]
    if names is None:
        return tuple(numbers)
    if len(names) != len(numbers):
        raise UsageError(
            f"network.inputs has {len(names)} names; the model takes "
            f"{counted(len(numbers), 'number')}: {listed(numbers)}"
        )
    return tuple(names)


def _outputs(sizes: dict[str, int], wanted: list[str] | None) -> tuple[str, ...]:
    """Return the names of the numbers of the graph's outputs that are taken.

    `network.outputs` names outputs of the graph, or gives a name to each number of all of them.
    """
    if not wanted or all(name in sizes for name in wanted):
        return tuple(name for output, size in sizes.items() for name in _numbered(output, size))
    total = sum(sizes.values())
    if len(wanted) == total:
        return tuple(wanted)
    stranger = next(name for name in wanted if name not in sizes)
    raise UsageError(
        f"network.outputs: the model has no output '{stranger}' of real numbers"
        f"{closest(stranger, sizes)}; choose "
        f"among {listed(list(sizes))}, or give names for all {counted(total, 'number')}"
    )


def _facts(model: "Model") -> tuple[str, ...]:
    nodes = model.proto.graph.node
    operators = Counter(node.op_type for node in nodes)
    kinks = [node.name or node.output[0] for node in nodes if node.op_type in _KINKS]
    facts = [
        f"{counted(len(nodes), 'node')}, {counted(model.n_parameters, 'parameter')}: "
        + ", ".join(f"{name} {count}" for name, count in operators.most_common()),
    ]
    if kinks:
        facts.append(
            f"kinks at {listed(kinks)}: on either side D is that of the smooth piece, and of the "
            "kink itself it tells nothing"
        )
    return tuple(facts)
