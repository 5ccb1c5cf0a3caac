"""Images read between their pixels, at places that may depend on the network's inputs."""

from functools import reduce
from itertools import product
from operator import mul
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, is_constant

_INT = np.dtype(np.int64)
_SLOPE = -0.75  # of the kernel of cubic convolution at 1, in GridSample


@operator("GridSample")
def _(node: Node) -> Any:
    """An image at the places of a grid, which run from -1 to 1 along each axis, the last first."""
    image, grid, xp = node[0], node[1], node.xp
    mode = node.get("mode", "linear").removeprefix("bi")
    padding = node.get("padding_mode", "zeros")
    if mode not in ("linear", "nearest", "cubic") or padding not in _PADDINGS:
        raise OnnxError(f"the mode '{mode}' with padding '{padding}' is not known")
    corners = bool(node.get("align_corners", 0))
    sizes = np.shape(image)[2:]
    check_size((*np.shape(grid)[:-1], np.shape(image)[1]))
    taps = []
    for axis, size in enumerate(sizes):
        place = grid[..., len(sizes) - 1 - axis]
        place = (place + 1) / 2 * (size - 1) if corners else ((place + 1) * size - 1) / 2
        if mode != "cubic":
            place = _fold(xp, place, size, padding, corners)
        taps.append([_tap(xp, *tap, size, padding, corners) for tap in _taps(xp, place, mode)])
    batch = np.arange(len(image)).reshape((-1,) + (1,) * len(sizes))
    pixels = xp.moveaxis(image, 1, -1)
    parts = []
    for chosen in product(*taps):
        weight = reduce(mul, (each for _, each in chosen))
        parts.append(pixels[(batch, *(index for index, _ in chosen))] * weight[..., None])
    return xp.moveaxis(sum(parts), -1, 1)


def _taps(xp: Any, place: Any, mode: str) -> list[tuple[Any, Any]]:
    """Return the places of the pixels that are read along an axis, and their weights."""
    if mode == "nearest":
        nearest = xp.round(place)
        return [(nearest, xp.ones_like(place))]
    first = xp.floor(place)
    t = place - first
    if mode == "linear":
        return [(first, 1 - t), (first + 1, t)]
    return [(first + step, _cubic(step - t, step)) for step in (-1, 0, 1, 2)]


def _cubic(t: Any, step: int) -> Any:
    """Return the kernel of cubic convolution at `t`, which lies between `step` - 1 and `step`.

    R. Keys, Cubic convolution interpolation for digital image processing (1981), equation (4).
    """
    t = -t if step < 1 else t
    if step in (0, 1):
        return ((_SLOPE + 2) * t - (_SLOPE + 3)) * t * t + 1
    return _SLOPE * (((t - 5) * t + 8) * t - 4)


def _tap(
    xp: Any, place: Any, weight: Any, size: int, padding: str, corners: bool
) -> tuple[Any, Any]:
    """Return the index of the pixel at a whole place, and its weight: 0 for one that is not there.

    Args:
        xp: NumPy, or JAX's.
        place: of the pixel.
        weight: of what is there.
        size: of the axis.
        padding: what is beyond the axis.
        corners: whether the grid runs from pixel to pixel, and not from edge to edge.
    """
    place = _fold(xp, place, size, padding, corners)
    if padding == "zeros":
        weight = weight * cast((place >= 0) & (place <= size - 1), weight.dtype)
    return cast(xp.clip(place, 0, size - 1), _INT), weight


def _fold(xp: Any, place: Any, size: int, padding: str, corners: bool) -> Any:
    """Return the place within an axis that stands for one beyond it, if there is such a place."""
    return _PADDINGS[padding](xp, place, size, corners)


def _border(xp: Any, place: Any, size: int, corners: bool) -> Any:
    return xp.clip(place, 0, size - 1)


def _reflection(xp: Any, place: Any, size: int, corners: bool) -> Any:
    """Return a place reflected at the outermost pixels, or at their edges."""
    low, span = (0.0, size - 1) if corners else (-0.5, size)
    if span == 0:
        return xp.zeros_like(place)
    along = xp.mod(place - low, 2 * span)
    return xp.clip(low + xp.where(along > span, 2 * span - along, along), 0, size - 1)


_PADDINGS = {"zeros": lambda xp, place, *_: place, "border": _border, "reflection": _reflection}


@operator("RoiAlign")
def _(node: Node) -> Any:
    """The means, or maxima, of bilinear samples in the cells of regions."""
    image, regions, batch = node[0], node[1], node[2]
    sizes = np.shape(image)[2:]
    cells = (node.get("output_height", 1), node.get("output_width", 1))
    check_size((len(regions), np.shape(image)[1], *cells))
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    half = node.get("coordinate_transformation_mode", default) == "half_pixel"
    corners = regions * node.real.type(node.get("spatial_scale", 1.0)) - (0.5 if half else 0.0)
    maximum = node.get("mode", "avg") == "max"
    results = []
    for region in range(len(regions)):
        samples = []
        for axis in (0, 1):
            low, high = corners[region, 1 - axis], corners[region, 3 - axis]
            extent = high - low if half else node.xp.maximum(high - low, 1.0)
            n = _n_samples(node, extent, cells[axis])
            samples.append(_samples(low, extent, cells[axis], n, sizes[axis]))
        pixels = image[batch[region]]
        results.append(_pooled(node.xp, pixels, samples[0], samples[1], maximum))
    shape = (0, np.shape(image)[1], *cells)
    return node.xp.stack(results) if results else np.zeros(shape, node.real)


def _n_samples(node: Node, extent: Any, cells: int) -> int:
    """Return how many samples a cell has along an axis; without a number given, one per pixel."""
    n = node.get("sampling_ratio", 0)
    if n > 0:
        return n
    if not is_constant(extent):
        raise OnnxError(
            "how many samples it takes depends on the inputs of the network; export the model with "
            "a sampling_ratio above 0"
        )
    return check_size((max(np.ceil(extent / cells), 1),))[0]


def _samples(low: Any, extent: Any, cells: int, n: int, size: int) -> list[tuple[Any, Any]]:
    """Return the two pixels (cell, sample) around each place along an axis, and their weights.

    Within one pixel of the axis its ends stand for what is beyond them, further away there is 0.
    """
    check_size((cells, n))
    xp = np if is_constant(low) and is_constant(extent) else jnp
    steps = (np.arange(cells)[:, None] + (np.arange(n) + 0.5) / n) / cells
    places = low + extent * steps.astype(low.dtype)
    inside = cast((places >= -1) & (places <= size), low.dtype)
    taps = _taps(xp, xp.clip(places, 0, size - 1), "linear")
    return [(cast(xp.minimum(at, size - 1), _INT), weight * inside) for at, weight in taps]


def _pooled(xp: Any, pixels: Any, rows: Any, columns: Any, maximum: bool) -> Any:
    """Return the cells (channel, row, column) of one region, from its samples along both axes.

    A maximum is that of the pixels times their weights, not of the sums of these, as the operator's
    own tests have it.
    """
    products = [
        pixels[:, row[:, None, :, None], column[None, :, None, :]]
        * (row_weight[:, None, :, None] * column_weight[None, :, None, :])
        for (row, row_weight), (column, column_weight) in product(rows, columns)
    ]
    if maximum:
        return xp.stack(products).max((0, -2, -1))
    return sum(products).mean((-2, -1))
