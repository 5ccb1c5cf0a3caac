"""Small convolutions as products with their whole matrix.

A convolution is a linear map of all entries of an image, and so a matrix, most of whose entries are
zero. Where few are, the product with all of it takes less time than XLA's CPU backend takes to move
the patches of the image about, and a network of such convolutions is one of dense layers.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# The most times as many multiply-adds as the convolution has, and the most entries of the matrix:
# that should stay in the second-level cache.
_MOST_TIMES, _MOST_ENTRIES = 16, 1 << 18


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
    entries = math.prod(image[1:]) * math.prod(result[1:])
    features = kernel[layout.rhs_spec[0]]
    multiply_adds = math.prod(result[1:]) * math.prod(kernel) // max(features, 1)
    return 0 < entries <= min(_MOST_ENTRIES, _MOST_TIMES * multiply_adds)


def convolution_matrix(
    image: tuple[int, ...], kernel: Any, params: dict[str, Any]
) -> np.ndarray | None:
    """Return the matrix (size of an image, *shape of a result without its batch axis).

    Args:
        image: shape, batch axis first.
        kernel: its value.
        params: of the equation; one group of rows (`batch_group_count`).

    Returns:
        None where the kernel is not known before the program runs, or is not finite: zero times
        infinity would spoil what it does not meet.
    """
    if isinstance(kernel, jax.core.Tracer) or not np.isfinite(np.asarray(kernel)).all():
        return None
    size = math.prod(image[1:])
    with jax.ensure_compile_time_eval():
        pixels = jnp.eye(size, dtype=kernel.dtype).reshape(size, *image[1:])
        return np.asarray(lax.conv_general_dilated_p.bind(pixels, jnp.asarray(kernel), **params))
