"""The graph of an exported program: its operators, called in turn by ourselves.

So nothing of a file becomes Python code, as it does where PyTorch's own classes read one. An
operator is one of a list, its arguments are numbers and arrays, and no array may be too large.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from . import exact_arithmetic, exact_layers  # noqa: F401  (they enter what they have)
from .archive import TorchError
from .arguments import FLOAT_AS_ARRAY, argument_of, names_in
from .exact import EXACT
from .operators import IGNORED, base_name, find_operator

MOST_NUMBERS = 1 << 26  # of all arrays that are there at once, for a row, without the weights
_MOST_NODES = 20_000
_DEEPEST = 20  # graphs within graphs
_LARGEST_SIZE = 1 << 62

_WITH_EPSILON = ("rms_norm", "_fused_rms_norm")  # that of the type of the numbers, if not told
_DOUBLE = 8  # float64, in the file

# Runs a part of the program as it is, but without keeping what only training needs.
_WITHOUT_GRADIENTS = "torch.ops.higher_order.wrap_with_set_grad_enabled"


@dataclass(frozen=True)
class Step:
    """One operator that is called, or a graph that is run.

    Attributes:
        target: its name in the file.
        layer: the layer of the model that it is of, for people; may be empty.
        function: which is called; None where a graph is run.
        positional: arguments by their place, as the file has them.
        named: arguments by their names, as the file has them.
        outputs: as the file has them.
        graph: that is run.
        done: names of what no later step needs.
    """

    target: str
    layer: str
    function: Callable[..., Any] | None
    positional: Sequence[Any]
    named: Mapping[str, Any]
    outputs: Sequence[Any]
    graph: "Graph | None" = None
    done: list[str] = field(default_factory=list)

    @property
    def definition(self) -> list[Any]:
        """What is called, and with what."""
        graph = None if self.graph is None else self.graph.definition
        return [self.target, self.positional, self.named, self.outputs, graph]

    @property
    def what(self) -> str:
        """The operator and its layer, for people."""
        return base_name(self.target) + (f" (layer '{self.layer}')" if self.layer else "")


@dataclass(frozen=True)
class Graph:
    """Steps from inputs to outputs.

    Attributes:
        inputs: names.
        outputs: names.
        steps: in turn.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, graph: Any, outputs: Sequence[str] | None = None) -> "Graph":
        """Return a graph that a file has as JSON.

        Args:
            graph: as the file has it.
            outputs: names of those that are wanted; None for all.

        Raises:
            TorchError: if an operator is not known, or it has too many nodes.
            Exception: of several kinds, if the JSON is none of a graph.
        """
        return _graph(graph, [0], 0, outputs)

    @property
    def definition(self) -> list[Any]:
        """What is computed, without what is only for people, such as layers."""
        return [self.inputs, self.outputs, [step.definition for step in self.steps]]

    def all_steps(self) -> Iterator[Step]:
        """Return the steps, those of graphs within it included."""
        for step in self.steps:
            if step.graph is not None:
                yield from step.graph.all_steps()
            else:
                yield step

    def run(self, values: dict[str, Any], real: torch.dtype | None, most: int) -> list[Any]:
        """Return the outputs.

        Args:
            values: {name: array or number} of the inputs; what is computed is added to them.
            real: the dtype that stands for every floating-point type; None: as in the file.
            most: numbers of all arrays that are there at once.

        Raises:
            TorchError: if there would be more, or an argument is none.
            Exception: whatever an operator raises.
        """
        held = 0
        for step in self.steps:
            positional = [argument_of(argument, values, real) for argument in step.positional]
            if step.graph is not None:
                inner = dict(zip(step.graph.inputs, positional, strict=True))
                results: Any = step.graph.run(inner, real, most - held)
            else:
                named = {name: argument_of(a, values, real) for name, a in step.named.items()}
                results = _called(step, positional, named, real)
            for name, value in _bound(step, results):
                values[name] = value
                held += value.numel() if isinstance(value, torch.Tensor) else 0
            if held > most:
                raise TorchError(
                    f"{step.what} makes arrays of {held:,} numbers with those before it; at most "
                    f"{most:,} are computed"
                )
            for name in step.done:
                value = values.pop(name, None)
                if isinstance(value, torch.Tensor) and name not in self.inputs:
                    held -= value.numel()
        return [values[name] for name in self.outputs]


def _graph(graph: Any, count: list[int], depth: int, outputs: Sequence[str] | None) -> Graph:
    if depth > _DEEPEST:
        raise TorchError("its graphs lie in each other too deep to be meant")
    inputs = tuple(name for argument in graph["inputs"] for name in names_in(argument))
    if outputs is None:
        outputs = [name for argument in graph["outputs"] for name in names_in(argument)]
    steps = []
    for node in graph["nodes"]:
        count[0] += 1
        if count[0] > _MOST_NODES:
            raise TorchError(f"its graph has more than {_MOST_NODES:,} nodes")
        if node["target"] not in IGNORED:
            steps.append(_step(node, graph["tensor_values"], count, depth))
    last: dict[str, Step] = {}
    for step in steps:
        for argument in (*step.positional, *step.named.values(), *step.outputs):
            last |= dict.fromkeys(names_in(argument), step)
    for name, step in last.items():
        if name not in outputs:
            step.done.append(name)
    return Graph(inputs, tuple(outputs), tuple(steps))


def _step(node: Any, kinds: Any, count: list[int], depth: int) -> Step:
    target, outputs, layer = node["target"], node["outputs"], _layer(node)
    arguments = [(argument["name"], argument["arg"]) for argument in node["inputs"]]
    if target == _WITHOUT_GRADIENTS:
        graph = _graph(arguments[1][1]["as_graph"]["graph"], count, depth + 1, None)
        return Step(target, layer, None, [a for _, a in arguments[2:]], {}, outputs, graph)
    function: Any = find_operator(target)
    if function is None:
        raise TorchError(
            f"calls the operator {str(target)[:100]}, which is not among those that are computed"
            + (f" (layer '{layer}')" if layer else "")
        )
    if not hasattr(function, "_schema"):
        return Step(target, layer, function, [a for _, a in arguments], {}, outputs)
    rest = dict(arguments)
    if base_name(target) in _WITH_EPSILON and "as_none" in rest.get("eps", {"as_none": True}):
        # Of the type in the file, or the run's would decide what is computed.
        double = kinds[rest["input"]["as_tensor"]["name"]]["dtype"] == _DOUBLE
        kind = torch.float64 if double else torch.float32
        rest["eps"] = {"as_float": torch.finfo(kind).eps}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for place, expected in enumerate(function._schema.arguments):
        if expected.name in rest:
            argument = rest.pop(expected.name)
            if str(expected.type) == "Tensor" and "as_float" in argument:
                argument = {FLOAT_AS_ARRAY: argument["as_float"]}
            if expected.kwarg_only or place > len(positional):
                named[expected.name] = argument
            else:
                positional.append(argument)
    if rest:
        raise TorchError(f"{base_name(target)} has no argument '{next(iter(rest))[:60]}'")
    step = Step(target, layer, function, positional, named, outputs)
    _check_not_training(step, dict(arguments))
    return step


def _layer(node: Any) -> str:
    """Return the layer that the file says a node is of, where that is a name."""
    stack = str(node["metadata"].get("nn_module_stack", ""))
    parts = stack.rpartition(";")[2].split(",")
    is_name = len(parts) == 3 and re.fullmatch(r"[A-Za-z0-9][\w.]{0,99}", parts[1])
    return parts[1] if is_name else ""


def _check_not_training(step: Step, arguments: Mapping[str, Any]) -> None:
    """Refuse what is drawn at random, or mixes the rows, since it is for training."""

    def value(name: str) -> Any:
        return next(iter(arguments.get(name, {"": None}).values()))

    chance = next((value(name) for name in ("p", "dropout") if name in arguments), 1)
    training = (value("train") or value("training")) is True and chance != 0
    averaged = value("use_input_stats") is True and "as_tensor" in arguments.get("running_mean", {})
    if training or averaged or value("dropout_p"):
        raise TorchError(
            f"was exported in training mode, as {step.what} shows; call model.eval() before "
            "torch.export.export"
        )


def _called(
    step: Step, positional: list[Any], named: Mapping[str, Any], real: torch.dtype | None
) -> Any:
    function: Any = step.function
    if hasattr(function, "_schema"):
        exact = EXACT.get(base_name(step.target)) if real is not None else None
        if exact is None:
            return function(*positional, **named)
        arguments = [
            positional[at] if at < len(positional) else named.get(item.name, item.default_value)
            for at, item in enumerate(function._schema.arguments)
        ]
        result = exact(*arguments)
        return positional[0].copy_(result) if function._schema.is_mutable else result
    # Of lists, the first argument of `getitem` alone: their sums and products can be of any length.
    items = positional[1:] if step.target == "_operator.getitem" else positional
    if not all(isinstance(item, int | float) for item in items):
        raise TorchError(f"{step.target} is computed of numbers alone")
    result = function(*positional)
    if isinstance(result, int | float) and not abs(result) < _LARGEST_SIZE:
        raise TorchError(f"{step.target} makes a size that is too large to be meant")
    return result


def _bound(step: Step, results: Any) -> Iterator[tuple[str, Any]]:
    """Return the names of a step's results, each with its result."""
    outputs = step.outputs
    if len(outputs) == 1 and ("as_tensors" in outputs[0] or not isinstance(results, list | tuple)):
        results = [results]
    for output, result in zip(outputs, results, strict=True):
        names = list(names_in(output))
        if names:
            yield from zip(names, result if "as_tensors" in output else [result], strict=True)
