"""The walk: each node of a graph in turn, from the values of its inputs to those of its outputs."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from ._functions import standard_function
from ._node import Node
from ._refusal import OnnxError
from ._registry import STANDARD, find_operator
from ._values import check_size, constant

_DEEPEST = 20  # functions that call functions: none of them can call itself
_MOST_NODES = 100_000  # with those of loops and functions each time: a file can ask for any number


@dataclass(frozen=True)
class Walk:
    """What all graphs of a model share.

    Attributes:
        opsets: {domain: version of its operator set}.
        functions: {(domain, name): function of the model's own}.
        real: the dtype that stands for every floating-point type.
        depth: of functions that call functions.
        count: of the nodes that were run.
    """

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str], onnx.FunctionProto]
    real: np.dtype
    depth: int = 0
    count: Iterator[int] = field(default_factory=itertools.count)

    def graph(
        self,
        graph: onnx.GraphProto,
        values: Sequence[Any],
        outer: Mapping[str, Any] | None = None,
        constants: Mapping[str, np.ndarray] | None = None,
    ) -> list[Any]:
        """Return the values of a graph's outputs.

        Args:
            graph: to be run.
            values: of its inputs, in their order; those that are initializers are left out.
            outer: values that can be seen from within a graph that is an attribute.
            constants: its initializers, where they have been read.

        Raises:
            OnnxError: naming the node that cannot be computed.
        """
        known = dict(outer or {})
        if constants is None:
            constants = {t.name: constant(t, self.real) for t in graph.initializer}
        known |= constants
        free = [value.name for value in graph.input if value.name not in constants]
        if len(free) != len(values):
            raise OnnxError(f"graph '{graph.name}' has {len(free)} inputs and gets {len(values)}")
        known |= zip(free, values, strict=True)
        self._nodes(graph.node, known)
        return [_found(known, output.name, "an output") for output in graph.output]

    def _nodes(self, nodes: Sequence[onnx.NodeProto], known: dict[str, Any]) -> None:
        for node in nodes:
            if next(self.count) == _MOST_NODES:
                raise _Named(
                    f"{_title(node)}: more than {_MOST_NODES:,} nodes are run, those of loops each time"
                )
            inputs = [_found(known, name, _title(node)) if name else None for name in node.input]
            attributes = {attribute.name: attribute for attribute in node.attribute}
            try:
                results = self._node(node, inputs, attributes, known)
            except _Named:
                raise
            except OnnxError as error:
                raise _Named(f"{_title(node)}: {error}") from error
            except RecursionError as error:
                raise _Named(f"{_title(node)} is nested too deeply") from error
            except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
                raise _Named(
                    f"{_title(node)}: its shape or its course depends on the values of the "
                    "network's inputs, which cannot be derived"
                ) from error
            except Exception as error:
                raise _Named(f"{_title(node)}: {_first_line(error)}") from error
            for name, value in zip(node.output, results, strict=False):
                if name:
                    known[name] = value

    def _node(
        self,
        node: onnx.NodeProto,
        inputs: Sequence[Any],
        attributes: Mapping[str, onnx.AttributeProto],
        known: dict[str, Any],
    ) -> Sequence[Any]:
        domain = STANDARD if node.domain == "ai.onnx" else node.domain
        own = self.functions.get((domain, node.op_type))
        if own is not None:
            return self.function(own, inputs, attributes)
        opset = self.opsets.get(domain)
        if opset is None:
            raise OnnxError(f"the model does not say which version of '{domain}' it uses")
        function = find_operator(domain, node.op_type, opset)
        if function is not None:
            results = function(
                Node(node, inputs, opset, self.real, partial(self.graph, outer=known), attributes)
            )
            return results if isinstance(results, tuple | list) else (results,)
        body = standard_function(node, domain, opset, inputs)
        if body is None:
            raise OnnxError(
                f"the operator {node.op_type}{domain and f' of {domain}'} is not known here; "
                "export the model without it, or write it as a function with network=python"
            )
        return self.function(body, inputs, attributes)

    def function(
        self,
        function: onnx.FunctionProto,
        inputs: Sequence[Any],
        attributes: Mapping[str, onnx.AttributeProto],
    ) -> list[Any]:
        """Return the values of the outputs of a function: a graph with attributes of its own."""
        if self.depth == _DEEPEST:
            raise OnnxError(f"function '{function.name}' calls itself")
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        given = defaults | dict(attributes)
        known: dict[str, Any] = dict.fromkeys(function.input)
        known |= zip(function.input, inputs, strict=False)
        opsets = {entry.domain: entry.version for entry in function.opset_import}
        inner = replace(self, opsets={**self.opsets, **opsets}, depth=self.depth + 1)
        inner._nodes([_with_attributes(node, given) for node in function.node], known)
        return [_found(known, name, f"function '{function.name}'") for name in function.output]


class _Named(OnnxError):
    """An error that names its node."""


def _with_attributes(
    node: onnx.NodeProto, given: Mapping[str, onnx.AttributeProto]
) -> onnx.NodeProto:
    """Return a node of a function in which references to the function's attributes are resolved."""
    if not any(attribute.ref_attr_name or _graphs(attribute) for attribute in node.attribute):
        return node
    resolved = onnx.NodeProto()
    resolved.CopyFrom(node)
    del resolved.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in given:
                copied = resolved.attribute.add()
                copied.CopyFrom(given[attribute.ref_attr_name])
                copied.name = attribute.name
            continue
        copied = resolved.attribute.add()
        copied.CopyFrom(attribute)
        for graph in _graphs(copied):
            inner = [_with_attributes(each, given) for each in graph.node]
            del graph.node[:]
            graph.node.extend(inner)
    return resolved


def _graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _found(known: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in known:
        raise _Named(
            f"{where} takes '{name}', which nothing before it gives: the nodes go in a circle, or "
            "the file is damaged"
        )
    value = known[name]
    check_size(np.shape(value)) if isinstance(value, np.ndarray | jnp.ndarray) else None
    return value


def _title(node: onnx.NodeProto) -> str:
    name = node.name or (node.output[0] if node.output else "")
    return f"node '{name}' ({node.op_type})"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
