"""The walk: each node of a graph in turn, from the values of its inputs to those of its outputs."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import onnx

from ._functions import standard_function
from ._node import Node
from ._refusal import OnnxError
from ._registry import STANDARD, find_operator
from ._values import MOST_COMPUTED, check_size, constants_of, is_constant

_DEEPEST = 20  # functions that call functions: none of them can call itself
_MOST_NODES = 20_000  # with those of loops and functions each time: a file can ask for any number


@dataclass(frozen=True)
class Walk:
    """What all graphs of a model share.

    Attributes:
        opsets: {domain: version of its operator set}.
        functions: {(domain, name): function of the model's own}.
        real: the dtype that stands for every floating-point type.
        depth: of functions that call functions.
        count: of the nodes that were run.
        computed: how many numbers of constants were computed, as the only element.
        read: {id of a graph within the graph: that graph, and its constants}.
    """

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str], onnx.FunctionProto]
    real: np.dtype
    depth: int = 0
    count: Iterator[int] = field(default_factory=itertools.count)
    computed: list[int] = field(default_factory=lambda: [0])
    read: dict[int, tuple[onnx.GraphProto, dict[str, np.ndarray]]] = field(default_factory=dict)

    def graph(
        self,
        graph: onnx.GraphProto,
        values: Sequence[Any],
        outer: Mapping[str, Any] | None = None,
        constants: Mapping[str, np.ndarray] | None = None,
        wanted: Sequence[str] | None = None,
    ) -> list[Any]:
        """Return the values of a graph's outputs; nodes that they do not need are not run.

        Args:
            graph: to be run.
            values: of its inputs, in their order; those that are initializers are left out.
            outer: values that can be seen from within a graph that is an attribute.
            constants: its initializers, where they have been read.
            wanted: names of outputs; None for all.

        Raises:
            OnnxError: naming the node that cannot be computed.
        """
        known = dict(outer or {})
        if constants is None:
            if id(graph) not in self.read:  # of a loop, they are the same each time
                self.read[id(graph)] = graph, constants_of(graph, self.real)
            constants = self.read[id(graph)][1]
        known |= constants
        held = {tensor.name for tensor in graph.initializer}
        held |= {sparse.values.name for sparse in graph.sparse_initializer}
        free = [value.name for value in graph.input if value.name not in held]
        if len(free) != len(values):
            raise OnnxError(f"graph '{graph.name}' has {len(free)} inputs and gets {len(values)}")
        known |= zip(free, values, strict=True)
        wanted = [output.name for output in graph.output] if wanted is None else wanted
        self._nodes(_needed(graph.node, wanted), known)
        return [_found(known, name, "an output") for name in wanted]

    def _nodes(self, nodes: Sequence[onnx.NodeProto], known: dict[str, Any]) -> None:
        for node in nodes:
            if next(self.count) == _MOST_NODES:
                raise _Named(
                    f"{_title(node)}: more than {_MOST_NODES:,} nodes are run, loops unrolled"
                )
            inputs = [_found(known, name, _title(node)) if name else None for name in node.input]
            attributes = {attribute.name: attribute for attribute in node.attribute}
            try:
                self._check_room(inputs)
                with np.errstate(all="ignore"):  # constants may be infinite, or no numbers
                    results = self._node(node, inputs, attributes, known)
                self._add_computed(inputs, results)
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

    def _check_room(self, inputs: Sequence[Any]) -> None:
        """Refuse what would be too large if it is broadcast, before it is made."""
        try:
            shape = np.broadcast_shapes(*(np.shape(value) for value in inputs if value is not None))
        except ValueError:  # they are not to be broadcast, or are lists
            return
        check_size(shape)

    def _add_computed(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        if not all(map(is_constant, inputs)):
            return
        self.computed[0] += sum(np.size(a) for a in results if isinstance(a, np.ndarray))
        if self.computed[0] > MOST_COMPUTED:
            raise OnnxError(
                f"more than {MOST_COMPUTED:,} numbers of constants are computed up to here"
            )

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
            return self.function(own, inputs, attributes, node.output)
        opset = self.opsets.get(domain)
        if opset is None:
            raise OnnxError(f"the model does not say which version of '{domain}' it uses")
        function = find_operator(domain, node.op_type, opset)
        if function is not None:
            results = function(
                Node(node, inputs, opset, self.real, partial(self.graph, outer=known), attributes)
            )
            return results if isinstance(results, tuple | list) else (results,)
        standard = standard_function(node, domain, opset, inputs)
        if standard is None:
            raise OnnxError(
                f"the operator {node.op_type}{domain and f' of {domain}'} is not known here; "
                "export the model without it, or write it as a function with network=python"
            )
        body, defaults = standard
        return self.function(body, inputs, defaults | dict(attributes), node.output)

    def function(
        self,
        function: onnx.FunctionProto,
        inputs: Sequence[Any],
        attributes: Mapping[str, onnx.AttributeProto],
        wanted: Sequence[str],
    ) -> list[Any]:
        """Return the values of the outputs of a function: a graph with attributes of its own.

        Args:
            function: to be run.
            inputs: their values.
            attributes: that its node gives.
            wanted: the names of the node's outputs, "" for one that is left out; the function need
                not make those that are left out, or that are not listed.
        """
        if self.depth == _DEEPEST:
            raise OnnxError(f"function '{function.name}' calls itself")
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        attributes_of_call = defaults | dict(attributes)
        known: dict[str, Any] = dict.fromkeys(function.input)
        known |= zip(function.input, inputs, strict=False)
        opsets = {entry.domain: entry.version for entry in function.opset_import}
        inner = replace(self, opsets={**self.opsets, **opsets}, depth=self.depth + 1)
        inner._nodes([_with_attributes(node, attributes_of_call) for node in function.node], known)
        made = zip(function.output, wanted, strict=False)
        where = f"function '{function.name}'"
        return [_found(known, name, where) if use else None for name, use in made]


class _Named(OnnxError):
    """An error that names its node."""


def needed_names(graph: onnx.GraphProto, wanted: Sequence[str]) -> set[str]:
    """Return the names on which values of these names depend, these included."""
    names = set(wanted)
    for node in _needed(graph.node, wanted):
        names |= _names_in(node)
    return names


def _needed(nodes: Sequence[onnx.NodeProto], wanted: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes on which values of these names depend, in their order."""
    names, needed = set(wanted), []
    for node in reversed(nodes):
        if names.intersection(node.output):
            needed.append(node)
            names |= _names_in(node)
    return needed[::-1]


def _names_in(node: onnx.NodeProto) -> set[str]:
    """Return the names that a node takes, those in its graphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in _graphs(attribute):
            names.update(output.name for output in graph.output)
            for inner in graph.node:
                names |= _names_in(inner)
    return names


def _with_attributes(
    node: onnx.NodeProto, attributes_of_call: Mapping[str, onnx.AttributeProto]
) -> onnx.NodeProto:
    """Return a node of a function in which references to the function's attributes are resolved."""
    if not any(attribute.ref_attr_name or _graphs(attribute) for attribute in node.attribute):
        return node
    resolved = onnx.NodeProto()
    resolved.CopyFrom(node)
    del resolved.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in attributes_of_call:
                copied = resolved.attribute.add()
                copied.CopyFrom(attributes_of_call[attribute.ref_attr_name])
                copied.name = attribute.name
            continue
        copied = resolved.attribute.add()
        copied.CopyFrom(attribute)
        for graph in _graphs(copied):
            inner = [_with_attributes(each, attributes_of_call) for each in graph.node]
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
    if isinstance(value, np.ndarray | jax.Array):
        check_size(value.shape)
    return value


def _title(node: onnx.NodeProto) -> str:
    name = node.name or (node.output[0] if node.output else "")
    return f"node '{name}' ({node.op_type})"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
