"""Arrays of a given shape, and shapes of arrays."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import check_size, dense, dtype_of, is_constant


def find_axis(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Args:
        axis: counted from the front, or if negative from the back.
        rank: of the array.

    Raises:
        OnnxError: if an array of this rank has no such axis.
    """
    if not -rank <= axis < rank:
        raise OnnxError(f"there is no axis {axis} in an array of {rank} dimensions")
    return axis % rank


def find_axes(node: Node, index: int, rank: int) -> tuple[int, ...] | None:
    """Return the axes that a node names, by its input with this index or by its attribute `axes`.

    Args:
        node: which has the one or the other, by the version of its operator.
        index: of the input.
        rank: of the array whose axes they are.

    Returns:
        The axes, counted from the front; None if the node names none.
    """
    axes = node.static(index, node.get("axes"))
    if axes is None:
        return None
    normalized = tuple(find_axis(int(axis), rank) for axis in np.ravel(axes))
    if len(set(normalized)) < len(normalized):
        raise OnnxError(f"an axis is named twice: {list(normalized)}")
    return normalized


@operator("Constant")
def _(node: Node) -> np.ndarray:
    for name, value in ((name, node.get(name)) for name in node.attributes):
        if name == "value":
            return value
        if name in ("value_float", "value_floats"):
            return np.asarray(value, node.real)
        if name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
        if name == "sparse_value":
            return dense(value, node.real)
    raise OnnxError("only numbers can be constants here, and it holds none")


@operator("ConstantOfShape")
def _(node: Node) -> np.ndarray:
    value = node.get("value", np.zeros(1, node.real))
    return np.full(check_size(node.static(0)), value.reshape(()), value.dtype)


@operator("Shape")
def _(node: Node) -> np.ndarray:
    """A constant whatever the array depends on. `start` and `end` are as in a slice of Python's."""
    return np.array(np.shape(node[0])[node.get("start", 0) : node.get("end")], np.int64)


@operator("Size")
def _(node: Node) -> np.ndarray:
    return np.array(np.size(node[0]), np.int64)


@operator("Reshape")
def _(node: Node) -> Any:
    """A size of 0 is that of the array, without `allowzero`; -1 is what is left."""
    shape = [int(size) for size in node.static(1)]
    if not node.get("allowzero", 0):
        old = np.shape(node[0])
        if any(size == 0 for size in shape[len(old) :]):
            raise OnnxError(f"the shape {shape} takes a size that the array does not have")
        shape = [old[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return node.xp.reshape(node[0], shape)


@operator("Flatten")
def _(node: Node) -> Any:
    """To a matrix, whose rows are the axes before `axis`."""
    shape = np.shape(node[0])
    axis = node.get("axis", 1)
    if axis != len(shape):
        axis = find_axis(axis, len(shape))
    return node.xp.reshape(node[0], (math.prod(shape[:axis]), math.prod(shape[axis:])))


@operator("Squeeze")
def _(node: Node) -> Any:
    return node.xp.squeeze(node[0], find_axes(node, 1, np.ndim(node[0])))


@operator("Unsqueeze")
def _(node: Node) -> Any:
    """The axes are those of the result."""
    named = node.static(1, node.get("axes"))
    if named is None:
        raise OnnxError("it does not say which axes are added")
    return node.xp.expand_dims(node[0], find_axes(node, 1, np.ndim(node[0]) + np.size(named)))


@operator("Transpose")
def _(node: Node) -> Any:
    return node.xp.transpose(node[0], node.get("perm"))


@operator("Expand")
def _(node: Node) -> Any:
    """Both shapes are broadcast: a size of 1 in the one asked for leaves that of the array."""
    asked = check_size(node.static(1))
    shape = check_size(np.broadcast_shapes(np.shape(node[0]), asked))
    return node.xp.broadcast_to(node[0], shape)


@operator("Tile")
def _(node: Node) -> Any:
    repeats = check_size(node.static(1))
    shape = np.shape(node[0])
    if len(repeats) != len(shape):
        raise OnnxError(f"it repeats {len(repeats)} axes of an array of {len(shape)} dimensions")
    check_size(np.multiply(shape, repeats, dtype=object))
    return node.xp.tile(node[0], repeats)


@operator("Concat")
def _(node: Node) -> Any:
    axis = find_axis(node.get("axis", 1), np.ndim(node[0]))
    return node.xp.concatenate(node.inputs, axis)


@operator("Split")
def _(node: Node) -> tuple[Any, ...]:
    """In parts of the given sizes; else in equal ones, of which the last may be smaller."""
    axis = find_axis(node.get("axis", 0), np.ndim(node[0]))
    size = np.shape(node[0])[axis]
    sizes = node.static(1, node.get("split"))
    if sizes is None:
        n = node.get("num_outputs", node.n_outputs)
        ends: Sequence[int] = [min(-(-size // n) * part, size) for part in range(1, n + 1)]
    else:
        check_size(sizes)
        ends = np.cumsum(sizes).tolist()
        if (ends[-1] if ends else 0) != size:
            raise OnnxError(f"an axis of size {size} cannot be split in {np.asarray(sizes)}")
    return tuple(node.xp.split(node[0], ends[:-1], axis))


@operator("Range")
def _(node: Node) -> np.ndarray:
    start, limit, step = (node.static(index).reshape(()) for index in range(3))
    if step == 0:
        raise OnnxError("a range whose step is 0 has no end")
    (n,) = check_size((max(np.ceil((limit - start) / step), 0),))
    return (start + np.arange(n) * step).astype(start.dtype)


@operator("EyeLike")
def _(node: Node) -> np.ndarray:
    rows, columns = check_size(np.shape(node[0]))
    code = node.get("dtype")
    dtype = node[0].dtype if code is None else dtype_of(code, node.real)
    return np.eye(rows, columns, node.get("k", 0), dtype)


@operator("Dropout")
def _(node: Node) -> tuple[Any, ...]:
    """Nothing is dropped: the network is trained already."""
    ratio = node.get_input(1)
    if node.static(2, False) and not (is_constant(ratio) and ratio == 0):
        raise OnnxError("it drops numbers at random; export the model for inference")
    return node[0], np.ones(np.shape(node[0]), bool)


@operator("Optional")
def _(node: Node) -> tuple[Any]:
    return (node.get_input(0),)


@operator("OptionalHasElement")
def _(node: Node) -> np.ndarray:
    return np.array(node.get_input(0) is not None)


@operator("OptionalGetElement")
def _(node: Node) -> tuple[Any]:
    return (node[0],)
