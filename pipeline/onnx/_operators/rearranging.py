"""Arrays with more or fewer entries around them, and with entries in another order."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import check_size
from .shapes import find_axes

_MODES = ("constant", "reflect", "edge", "wrap")


def _pad(xp: Any, data: Any, pads: Sequence[tuple[int, int]], mode: str, value: Any = 0) -> Any:
    """Return an array with entries added before and after it; where negative, they are taken off.

    Args:
        xp: NumPy, or JAX's.
        data: the array.
        pads: for each axis how many before it and after it.
        mode: what is added.
        value: added in the mode `constant`.
    """
    check_size([n + sum(pad) for n, pad in zip(np.shape(data), pads, strict=True)])
    inner = [
        slice(max(-before, 0), max(n - max(-after, 0), 0))
        for n, (before, after) in zip(np.shape(data), pads, strict=True)
    ]
    added = [(max(before, 0), max(after, 0)) for before, after in pads]
    options = {"constant_values": value} if mode == "constant" else {}
    return xp.pad(data[tuple(inner)], added, mode, **options)


@operator("Pad")
def _(node: Node) -> Any:
    """The pads were an attribute before opset 11, as was the constant."""
    mode, data = node.get("mode", "constant"), node[0]
    if mode not in _MODES:
        raise OnnxError(f"the mode '{mode}' is not known")
    rank = np.ndim(data)
    axes = find_axes(node, 3, rank)
    pads = [int(pad) for pad in node.static(1, node.get("pads"))]
    axes = tuple(range(rank)) if axes is None else axes
    if len(pads) != 2 * len(axes):
        raise OnnxError(f"it has {len(pads)} pads for {len(axes)} axes")
    pairs = [(0, 0)] * rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        pairs[axis] = (before, after)
    value = node.get_input(2)
    if value is None:
        value = np.asarray(node.get("value", 0), data.dtype)
    return _pad(node.xp, data, pairs, mode, node.xp.reshape(value, ()))


@operator("CenterCropPad")
def _(node: Node) -> Any:
    """To sizes that are given: the middle of a longer axis, zeros around a shorter one."""
    data = node[0]
    sizes = check_size(node.static(1))
    axes = find_axes(node, 2, np.ndim(data)) or range(np.ndim(data))
    pairs = [(0, 0)] * np.ndim(data)
    for axis, size in zip(axes, sizes, strict=True):
        more = size - np.shape(data)[axis]
        before = more // 2 if more > 0 else -(-more // 2)
        pairs[axis] = (before, more - before)
    return _pad(node.xp, data, pairs, "constant")


@operator("Trilu")
def _(node: Node) -> Any:
    """The part of matrices above a diagonal, or with `upper` 0 below it, the diagonal included."""
    part = node.xp.triu if node.get("upper", 1) else node.xp.tril
    return part(node[0], int(node.static(1, np.array(0)).reshape(())))


@operator("DepthToSpace")
def _(node: Node) -> Any:
    """Channels to the pixels of blocks; in the mode `DCR` the blocks' pixels are the outer axes."""
    n, channels, height, width = np.shape(node[0])
    block = node.get("blocksize")
    depth = channels // block**2
    outer = node.get("mode", "DCR") == "DCR"
    axes = (block, block, depth) if outer else (depth, block, block)
    split = node.xp.reshape(node[0], (n, *axes, height, width))
    order = (0, 3, 4, 1, 5, 2) if outer else (0, 1, 4, 2, 5, 3)
    merged = node.xp.transpose(split, order)
    return node.xp.reshape(merged, (n, depth, height * block, width * block))


@operator("SpaceToDepth")
def _(node: Node) -> Any:
    """The pixels of blocks to channels, by default those of one pixel beside each other."""
    n, channels, height, width = np.shape(node[0])
    block = node.get("blocksize")
    rows, columns = height // block, width // block
    split = node.xp.reshape(node[0], (n, channels, rows, block, columns, block))
    order = (0, 3, 5, 1, 2, 4) if node.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    merged = node.xp.transpose(split, order)
    return node.xp.reshape(merged, (n, channels * block**2, rows, columns))
