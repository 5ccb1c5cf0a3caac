"""Convolution as a matrix product of patches, and sums over windows as sums of shifted arrays.

XLA's CPU backend runs a convolution, or a sum over a window, several times slower in a loop than
outside of one, and batches go through a network in a loop over tiles. Slices and a product lose
nothing there; their own rules then give J, D and the reverse. A window of one pixel is a product as
it stands, along which pixels that have not mixed stay apart.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._equation import Equation
from .._interpret import interpret
from .._registry import register
from .._tangent import Tangent, push
from .linear import linear_in, no_axis
from .multilinear import bilinear, with_operand

# Windows of more entries are left to XLA: each entry is an array of its own here, and compiled so.
_MOST_PATCHES, _MOST_SHIFTS = 25, 16


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
    if layout != _features_last(len(layout.lhs_spec)):
        return _instead(equation, lambda *operands: _turned(params, *operands))
    *window, by, _ = equation.values[1].shape
    pixels, groups = math.prod(window), params["feature_group_count"]
    (result,) = equation.result_types
    if result.size and groups == 1:
        if pixels == 1:
            return _instead(equation, lambda *operands: _of_patches(params, *operands))
        if _on_cpu() and pixels <= _MOST_PATCHES:
            reversible = functools.partial(_of_patches, params)
            return bilinear(equation, _with_tangent, reversible)
    if result.size and by == 1 and _on_cpu() and pixels <= _MOST_SHIFTS and _of_one_type(equation):
        return _instead(equation, lambda *operands: _of_shifts(params, *operands))
    return bilinear(equation, _with_tangent)


@register("reduce_window_sum")
def reduce_window_sum(equation: Equation) -> list[Any]:
    """Sum over a window that moves along the axes.

    >>> derive(lambda x: lax.reduce_window(x**2, 0.0, lax.add, (2,), (1,), "VALID"), [1, 2, 3])
    value (2,)    [5, 13]
    J     (2, 3)  [[2, 4, 0], [0, 4, 6]]
    D     (2, 3)  [[2, 2, 0], [0, 2, 2]]

    Operands: the array. Parameters: window_dimensions, window_strides, padding, base_dilation,
    window_dilation.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_window.html
    """
    params = equation.params
    size = params["window_dimensions"]
    (result,) = equation.result_types
    if not result.size or not _on_cpu() or math.prod(size) > _MOST_SHIFTS:
        return linear_in(equation, None, no_axis(equation))

    def summed(array: jax.Array) -> jax.Array:
        widths = zip(params["padding"], params["base_dilation"], strict=True)
        array = _with_zeros(array, [(*ends, apart - 1) for ends, apart in widths])
        first, *others = _shifted(array, size, params["window_strides"], params["window_dilation"])
        return sum(others, first)

    return _instead(equation, summed)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _instead(equation: Equation, fn: Callable[..., jax.Array]) -> list[Any]:
    """Walk through `fn`, which does what the primitive does."""
    shapes = [jax.ShapeDtypeStruct(jnp.shape(v), jnp.result_type(v)) for v in equation.values]
    closed = jax.make_jaxpr(fn)(*shapes)
    return interpret(closed.jaxpr, closed.consts, equation.operands, equation.accumulation)


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
    padded = _with_zeros(
        image, [(0, 0, 0), *((*ends, apart - 1) for ends, apart in widths), (0, 0, 0)]
    )
    strides, apart = params["window_strides"], params["rhs_dilation"]
    return _shifted(padded, (1, *kernel.shape[:-2], 1), (1, *strides, 1), (1, *apart, 1))


def _with_zeros(array: jax.Array, widths: Sequence[tuple[int, int, int]]) -> jax.Array:
    # Held, or XLA may pad anew for each entry of a window.
    return lax.optimization_barrier(lax.pad(array, jnp.zeros((), array.dtype), widths))


def _shifted(
    array: jax.Array, size: Sequence[int], strides: Sequence[int], apart: Sequence[int]
) -> Iterator[jax.Array]:
    """Yield, for each entry of a window, what it meets where the window is."""
    reach = [(length - 1) * step for length, step in zip(size, apart, strict=True)]
    for entry in np.ndindex(*size):
        first = [at * step for at, step in zip(entry, apart, strict=True)]
        limits = [
            start + length - ends
            for start, length, ends in zip(first, array.shape, reach, strict=True)
        ]
        yield lax.slice(array, first, limits, strides)
