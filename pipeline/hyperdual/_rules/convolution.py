"""Convolution as a matrix product: with its whole matrix where that is small, or of patches.

XLA's CPU backend runs a convolution several times slower in a loop than outside of one, and batches
go through a network in a loop over tiles. Slices and a product lose nothing there; their own rules
then give J, D and the reverse. A window of one pixel is a product as it stands, along which pixels
that have not mixed stay apart.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._convolution_matrix import convolution_matrix, has_small_matrix
from .._equation import Equation
from .._registry import register
from .._tangent import Tangent, push
from .multilinear import bilinear, with_operand
from .windows import MOST_SHIFTS, instead, on_cpu, padded, shifted

# Windows of more entries are left to XLA: each entry is an array of its own here, and compiled so.
_MOST_PATCHES = 25


@register(
    "conv_general_dilated",
    parameters=(
        "window_strides",
        "padding",
        "lhs_dilation",
        "rhs_dilation",
        "dimension_numbers",
        "feature_group_count",
        "batch_group_count",
        "precision",
        "preferred_element_type",
        "out_sharding",
    ),
)
def convolution(equation: Equation) -> list[Any]:
    """Multiply and sum over a window that moves along the spatial axes, for all channels.

    Any stride, padding, dilation and grouping. A difference of neighbours, 3 entries to 2:

    >>> def difference(x):
    ...     kernel = jnp.array([[[-1.0, 1.0]]])  # (features out, features in, width)
    ...     return lax.conv_general_dilated(x.reshape(1, 1, 3) ** 2, kernel, (1,), "VALID")[0, 0]
    >>> derive(difference, [1, 2, 4])
    value (2,)    [3, 12]
    J     (2, 3)  [[-2, 4, 0], [0, -4, 8]]
    D     (2, 3)  [[-2, 2, 0], [0, -2, 2]]

    Operands: image, kernel. Parameters: dimension_numbers, window_strides, padding, lhs_dilation,
    rhs_dilation, feature_group_count, batch_group_count, precision, preferred_element_type,
    out_sharding.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.conv_general_dilated.html
    https://openxla.org/xla/operation_semantics#conv_convolution
    """
    params = equation.params
    layout = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        return bilinear(equation, _with_tangent)
    matrix = _matrix(equation)
    if matrix is not None:
        return instead(equation, lambda image, _: _of_matrix(params, image, matrix))
    if layout != _features_last(len(layout.lhs_spec)):
        return instead(equation, lambda *operands: _turned(params, *operands))
    *window, by, _ = equation.values[1].shape
    pixels, groups = math.prod(window), params["feature_group_count"]
    (result,) = equation.result_types
    if result.size and groups == 1:
        if pixels == 1:
            return instead(equation, lambda *operands: _of_patches(params, *operands))
        if on_cpu() and pixels <= _MOST_PATCHES:
            reversible = functools.partial(_of_patches, params)
            return bilinear(equation, _with_tangent, reversible)
    if result.size and by == 1 and on_cpu() and pixels <= MOST_SHIFTS and _of_one_type(equation):
        return instead(equation, lambda *operands: _of_shifts(params, *operands))
    return bilinear(equation, _with_tangent)


def _with_tangent(equation: Equation, at: int, tangent: Tangent) -> Tangent:
    return push(with_operand(equation, at), [tangent], {})[0]


def _features_last(rank: int) -> lax.ConvDimensionNumbers:
    """Return the layout (batch, *spatial, features), of the kernel (*spatial, in, out)."""
    spatial = range(1, rank - 1)
    image = (0, rank - 1, *spatial)
    return lax.ConvDimensionNumbers(image, (rank - 1, rank - 2, *range(rank - 2)), image)


def _turned(params: dict[str, Any], image: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return a convolution of any layout as one with the features last.

    XLA's CPU backend has a fast kernel for that layout alone, and turns others only outside of
    loops.
    """
    layout, last = params["dimension_numbers"], _features_last(image.ndim)

    def turned(array: jax.Array, before: Sequence[int], after: Sequence[int]) -> jax.Array:
        return lax.transpose(array, [before[after.index(axis)] for axis in range(len(before))])

    image = turned(image, layout.lhs_spec, last.lhs_spec)
    kernel = turned(kernel, layout.rhs_spec, last.rhs_spec)
    result = lax.conv_general_dilated(
        image,
        kernel,
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
        last,
        params["feature_group_count"],
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return turned(result, last.out_spec, layout.out_spec)


def _matrix(equation: Equation) -> np.ndarray | None:
    """Return the matrix of a convolution, where it is small and known."""
    if not on_cpu() or equation.active != [0] or not _of_one_type(equation):
        return None
    image, kernel = equation.values
    (result,) = equation.result_types
    layout = equation.params["dimension_numbers"]
    if not has_small_matrix(image.shape, kernel.shape, result.shape, layout):
        return None
    return convolution_matrix(image.shape, kernel, result.shape, equation.params)


def _of_matrix(params: dict[str, Any], image: jax.Array, matrix: np.ndarray) -> jax.Array:
    """Return a convolution as a product with its matrix; of one image, with a plain vector."""
    rows, size = image.shape[0], matrix.shape[0]
    vectors = lax.reshape(image, (size,) if rows == 1 else (rows, size))
    product = lax.dot_general(
        vectors,
        matrix.reshape(size, -1),
        (((vectors.ndim - 1,), (0,)), ((), ())),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return lax.reshape(product, (rows, *matrix.shape[1:]))


def _of_patches(params: dict[str, Any], image: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return a convolution in one group as a product of all that the window meets."""
    patches = lax.concatenate(list(_images(params, image, kernel)), image.ndim - 1)
    return lax.dot_general(
        patches,
        lax.reshape(kernel, (patches.shape[-1], kernel.shape[-1])),
        (((patches.ndim - 1,), (0,)), ((), ())),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )


def _of_shifts(params: dict[str, Any], image: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return a convolution of each feature by itself as a sum over the window."""
    outputs = kernel.shape[-1]
    factors = lax.reshape(kernel, (kernel.size // outputs, outputs))
    of_each = outputs // params["feature_group_count"]  # features that one is made into

    def repeated(part: jax.Array) -> jax.Array:
        if of_each == 1:
            return part
        stretched = jnp.broadcast_to(part[..., None], (*part.shape, of_each))
        return lax.reshape(stretched, (*part.shape[:-1], outputs))

    images = enumerate(_images(params, image, kernel))
    first, *others = (repeated(part) * factors[at] for at, part in images)
    return sum(others, first)


def _of_one_type(equation: Equation) -> bool:
    """Tell whether all is of a type that sums are formed in, too: of bfloat16 they are not."""
    (result,) = equation.result_types
    types = {result.dtype, *(value.dtype for value in equation.values)}
    return len(types) == 1 and types <= {jnp.dtype("float32"), jnp.dtype("float64")}


def _images(params: dict[str, Any], image: jax.Array, kernel: jax.Array) -> Iterator[jax.Array]:
    """Yield, for each pixel of the window, what it meets."""
    widths = zip(params["padding"], params["lhs_dilation"], strict=True)
    spatial = [(*ends, apart - 1) for ends, apart in widths]
    image = padded(image, 0, [(0, 0, 0), *spatial, (0, 0, 0)])
    strides, apart = params["window_strides"], params["rhs_dilation"]
    return shifted(image, (1, *kernel.shape[:-2], 1), (1, *strides, 1), (1, *apart, 1))
