"""Windows that move along the spatial axes of an array, for convolution and pooling."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._values import check_size


@dataclass(frozen=True)
class Axis:
    """How a window moves along one axis.

    Attributes:
        length: of the array.
        size: entries of the window.
        stride: from one place of the window to the next.
        dilation: from one entry of the window to the next.
        before: padding at the start.
        after: padding at the end.
        beyond: further padding at the end, which no average counts, for the last window.
    """

    length: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    beyond: int = 0

    @property
    def reach(self) -> int:
        """From the first to the last entry of the window, both included."""
        return (self.size - 1) * self.dilation + 1

    @property
    def padding(self) -> tuple[int, int]:
        """At the start and at the end."""
        return self.before, self.after + self.beyond

    @property
    def places(self) -> int:
        """Of the window."""
        return (self.length + sum(self.padding) - self.reach) // self.stride + 1

    @property
    def entries(self) -> np.ndarray:
        """Where the entries of the window are at each of its places, (places, size)."""
        starts = np.arange(self.places)[:, None] * self.stride - self.before
        return starts + np.arange(self.size) * self.dilation


def spatial_axes(node: Node, lengths: tuple[int, ...], sizes: Any) -> list[Axis]:
    """Return how the window of a node moves along each spatial axis.

    Args:
        node: with attributes `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`.
        lengths: of the spatial axes of its input.
        sizes: of the window along them.

    Raises:
        OnnxError: if the attributes do not fit the input.
    """
    strides, dilations = steps(node, "strides", lengths), steps(node, "dilations", lengths)
    if len(sizes) != len(lengths) or min(sizes, default=1) < 1:
        raise OnnxError(f"a window of size {list(sizes)} does not fit {len(lengths)} spatial axes")
    pads = padding(node, lengths)
    automatic = node.get("auto_pad", "NOTSET")
    axes = []
    for length, size, stride, dilation, (before, after) in zip(
        lengths, sizes, strides, dilations, pads, strict=True
    ):
        axis = Axis(length, size, stride, dilation, before, after)
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            missing = max((-(-length // stride) - 1) * stride + axis.reach - length, 0)
            before = halved(missing, upper=automatic == "SAME_UPPER")
            axis = Axis(length, size, stride, dilation, before, missing - before)
        elif node.get("ceil_mode", 0):
            axis = _up_to_the_end(axis)
        if axis.length + sum(axis.padding) < axis.reach:
            raise OnnxError(f"a window over {axis.reach} entries is larger than its array")
        axes.append(axis)
    check_size(axis.places for axis in axes)
    return axes


def steps(node: Node, name: str, lengths: tuple[int, ...]) -> list[int]:
    """Return strides or dilations; they are 1 if left out.

    Raises:
        OnnxError: if there is not one for each spatial axis, or one is not positive.
    """
    values = node.get(name) or [1] * len(lengths)
    if len(values) != len(lengths) or min(values, default=1) < 1:
        raise OnnxError(f"{name} {values} do not fit {len(lengths)} spatial axes")
    return values


def padding(node: Node, lengths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the padding at the start and at the end of each spatial axis that `pads` says.

    Raises:
        OnnxError: if there are not two for each spatial axis, or one is negative.
    """
    n = len(lengths)
    automatic = node.get("auto_pad", "NOTSET") not in ("NOTSET", "")
    values = [0] * (2 * n) if automatic else node.get("pads") or [0] * (2 * n)
    if len(values) != 2 * n or min(values, default=0) < 0:
        raise OnnxError(f"pads {values} do not fit {n} spatial axes")
    check_size(length + sum(values) for length in lengths)
    return list(zip(values[:n], values[n:], strict=True))


def halved(total: int, upper: bool) -> int:
    """Return what of a padding goes to the start: half; the odd one goes to the end if `upper`."""
    return total // 2 if upper else total - total // 2


def _up_to_the_end(axis: Axis) -> Axis:
    """Return the axis padded until the last window ends; one that would start there is left out."""
    rest = axis.length + axis.before + axis.after - axis.reach
    places = -(-rest // axis.stride) + 1
    if (places - 1) * axis.stride >= axis.length + axis.before:
        places -= 1
    beyond = max((places - 1) * axis.stride - rest, 0)
    return Axis(axis.length, axis.size, axis.stride, axis.dilation, axis.before, axis.after, beyond)
