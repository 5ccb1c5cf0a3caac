"""Lists of arrays, and values that may be absent."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import is_constant


@operator("SequenceConstruct")
def _(node: Node) -> Any:
    return (list(node.inputs),)


@operator("SequenceEmpty")
def _(node: Node) -> Any:
    return ([],)


@operator("SequenceAt")
def _(node: Node) -> Any:
    values = node[0]
    return values[_position(node, 1, len(values))]


@operator("SequenceInsert")
def _(node: Node) -> Any:
    """Before a position; at the end if none is given."""
    values = list(node[0])
    values.insert(_position(node, 2, len(values), len(values)), node[1])
    return (values,)


@operator("SequenceErase")
def _(node: Node) -> Any:
    """Of the last, if no position is given."""
    values = list(node[0])
    del values[_position(node, 1, len(values), len(values) - 1)]
    return (values,)


@operator("SequenceLength")
def _(node: Node) -> Any:
    return np.asarray(len(node[0]), np.int64)


@operator("SplitToSequence")
def _(node: Node) -> Any:
    """Into parts of given sizes, of one size (the last may be smaller), or into single ones."""
    value = node[0]
    axis = node.get("axis", 0)
    n = value.shape[axis]
    split = node.static(1)
    sizes = np.ones(n, int) if split is None else split
    if sizes.ndim == 0:
        if sizes < 1:
            raise OnnxError("the size of a part must be at least 1")
        ends = np.arange(int(sizes), n, int(sizes))
    else:
        ends = np.cumsum(sizes)[:-1]
    parts = node.xp.split(value, ends, axis)
    if split is None and not node.get("keepdims", 1):
        parts = [node.xp.squeeze(part, axis) for part in parts]
    return (parts,)


@operator("ConcatFromSequence")
def _(node: Node) -> Any:
    """End to end along an axis, or along a new one."""
    values = node[0]
    xp = np if all(is_constant(value) for value in values) else jnp
    join = xp.stack if node.get("new_axis", 0) else xp.concatenate
    return join(values, axis=node.get("axis"))


@operator("SequenceMap")
def _(node: Node) -> Any:
    """A graph for the elements of lists, one by one; what is no list is the same for all."""
    body = node.get("body")
    results: list[Sequence[Any]] = [
        node.run_graph(
            body, [value[i] if isinstance(value, list) else value for value in node.inputs]
        )
        for i in range(len(node[0]))
    ]
    return tuple([result[j] for result in results] for j in range(len(body.output)))


@operator("Optional")
def _(node: Node) -> Any:
    return (node.get_input(0),)


@operator("OptionalGetElement")
def _(node: Node) -> Any:
    return (node[0],)


@operator("OptionalHasElement")
def _(node: Node) -> Any:
    return np.asarray(node.get_input(0) is not None)


def _position(node: Node, index: int, length: int, default: int | None = None) -> int:
    """Return the position in a list that an input gives; < 0 counts from the end."""
    position = node.static(index, default)
    if position is None:
        raise OnnxError("the position is missing")
    position = int(np.asarray(position).reshape(()))
    position += length if position < 0 else 0
    if not 0 <= position <= length:
        raise OnnxError(f"the list has {length} elements, and none at {position}")
    return position
