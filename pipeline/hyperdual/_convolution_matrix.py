"""Small convolutions as products with their whole matrix.

A convolution is a linear map of all entries of an image, and so a matrix, most of whose entries are
zero. Where few are, the product with all of it takes less time than XLA's CPU backend takes to move
the patches of the image about, and a network of such convolutions is one of dense layers.

What is infinite in an image spoils all of the product, zero times infinity being NaN, and of the
convolution only what meets it: rows whose results are not finite are computed once more, without.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core

# The most times as many multiply-adds as the convolution has, and the most entries of the matrix:
# that should stay in the second-level cache.
_MOST_TIMES, _MOST_ENTRIES = 16, 1 << 18
# The most entries of what is held on the way to it, for each spatial axis.
_MOST_HELD = 1 << 20

_allowed = contextvars.ContextVar("allowed", default=True)


@contextlib.contextmanager
def no_matrices() -> Iterator[None]:
    """Trace convolutions as they are."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def takes_matrix(eqn: core.JaxprEqn) -> bool:
    """Tell whether an equation is a convolution of one image that is cheaper by its matrix.

    If its kernel is known before the program runs, that is how it is done.
    """
    if eqn.primitive.name != "conv_general_dilated" or eqn.params["batch_group_count"] != 1:
        return False
    values: list[Any] = [*eqn.invars, *eqn.outvars]
    image, kernel, result = (tuple(value.aval.shape) for value in values)
    return has_small_matrix(image, kernel, result, eqn.params["dimension_numbers"])


def has_small_matrix(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    result: tuple[int, ...],
    layout: lax.ConvDimensionNumbers,
) -> bool:
    """Tell whether a convolution of these shapes is cheaper as a product with its matrix."""
    if layout.lhs_spec[0] or layout.out_spec[0]:
        return False
    window = [kernel[axis] for axis in layout.rhs_spec[2:]]
    by_itself = kernel[layout.rhs_spec[1]] == 1 < image[layout.lhs_spec[1]]
    if math.prod(window) == 1 or by_itself:  # these keep pixels, or features, apart
        return False
    places = zip(layout.lhs_spec[2:], layout.out_spec[2:], window, strict=True)
    if any(image[a] * result[b] * length > _MOST_HELD for a, b, length in places):
        return False
    entries = math.prod(image[1:]) * math.prod(result[1:])
    features = kernel[layout.rhs_spec[0]]
    multiply_adds = math.prod(result[1:]) * math.prod(kernel) // max(features, 1)
    return 0 < entries <= min(_MOST_ENTRIES, _MOST_TIMES * multiply_adds)


def convolution_matrix(
    image: tuple[int, ...], kernel: Any, result: tuple[int, ...], params: dict[str, Any]
) -> np.ndarray | None:
    """Return the matrix, shape (size of an image, *shape of a result without its batch axis).

    Args:
        image, result: shapes, batch axis first.
        kernel: its value.
        params: of the equation; one group of rows (`batch_group_count`).

    Returns:
        None within `no_matrices`, where the kernel is not known before the program runs, or
        is not finite: zero times infinity would spoil what it does not meet.
    """
    if not _allowed.get():
        return None
    if isinstance(kernel, jax.core.Tracer) or not np.isfinite(np.asarray(kernel)).all():
        return None
    layout = params["dimension_numbers"]
    matrix = _ungrouped(np.asarray(kernel).transpose(layout.rhs_spec), params)
    for at, axis in enumerate(layout.lhs_spec[2:]):  # a window's axis becomes two positions
        meets = _meets(at, image[axis], matrix.shape[2], result[layout.out_spec[2 + at]], params)
        matrix = np.tensordot(matrix, meets, axes=(2, 0))
    # Now (feature of a result, of an image, position in an image, in a result, the same ...).
    spatial = range(len(image) - 2)
    from_image = dict(zip(layout.lhs_spec[1:], [1, *(2 + 2 * at for at in spatial)], strict=True))
    to_result = dict(zip(layout.out_spec[1:], [0, *(3 + 2 * at for at in spatial)], strict=True))
    order = [places[axis] for places in (from_image, to_result) for axis in sorted(places)]
    return matrix.transpose(order).reshape(math.prod(image[1:]), *result[1:])


def _ungrouped(kernel: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """Return a kernel (features out, in, *window) of one group, with zeros between the groups."""
    groups, (made, met, *window) = params["feature_group_count"], kernel.shape
    whole = np.zeros((groups, made // groups, groups, met, *window), kernel.dtype)
    each = np.arange(groups)
    whole[each, :, each] = kernel.reshape(groups, made // groups, met, *window)
    return whole.reshape(made, groups * met, *window)


def _meets(axis: int, size: int, window: int, positions: int, params: dict[str, Any]) -> np.ndarray:
    """Return 1 where an entry of the window meets one of the image: (window, size, positions)."""
    entry, at = np.arange(window)[:, None], np.arange(positions)
    first = params["padding"][axis][0]
    met = at * params["window_strides"][axis] + entry * params["rhs_dilation"][axis] - first
    images = np.arange(size)[:, None] * params["lhs_dilation"][axis]
    return (met[:, None, :] == images).astype(np.float32)
