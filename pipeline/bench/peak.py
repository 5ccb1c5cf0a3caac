"""What the machine could do at most: its measured matrix-product rate, and the work there is.

A network of dense layers has widths w_0 = n, w_1, ..., w_L = m, an activation on all layers but
the last, and K_l = w_(l-1) w_l multiply-adds in the product of layer l with one vector. For one
row, any way that keeps each input's direction apart does at least

    value            sum of K_l, l = 1 .. L
    Jacobian         n * sum of K_l, l = 2 .. L       (behind layer 1, it is W_1)

and then the cheaper of

    D, forward       n * sum of K_l, l = 2 .. L       (D is born at the first activation)
    D, adjoint       m * sum of K_l, l = 2 .. L-1     (the reverse sweep; behind layer L, it is W_L)
                     + n m * sum of w_l, l = 1 .. L-1 (delta times curvature times J squared)

Elementwise work is not counted: the share of the peak that a kernel reaches by this count stays
below 1 for tanh and the like too.
"""

import time
from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import numerics

# Square matrices of these sizes; the best of so many calls each.
_SIZES = (512, 1024, 2048)
_CALLS = 10


def dense_multiply_adds(widths: Sequence[int]) -> int:
    """Return the least multiply-adds for value, Jacobian and Hessian diagonal of one row.

    Args:
        widths: (n, w_1, ..., m), at least one layer.
    """
    n, m = widths[0], widths[-1]
    products = [inputs * outputs for inputs, outputs in pairwise(widths)]
    value, jacobian = sum(products), n * sum(products[1:])
    forward = n * sum(products[1:])
    adjoint = m * sum(products[1:-1]) + n * m * sum(widths[1:-1])
    return value + jacobian + min(forward, adjoint)


def matmul_peak() -> float:
    """Return the best measured rate of float32 matrix products here, in multiply-adds/s."""
    best = 0.0
    with numerics("float32"):
        product = jax.jit(jnp.matmul)
        for size in _SIZES:
            matrix = jnp.asarray(np.random.default_rng(0).random((size, size)), jnp.float32)
            product(matrix, matrix).block_until_ready()
            for _ in range(_CALLS):
                started = time.perf_counter()
                product(matrix, matrix).block_until_ready()
                best = max(best, size**3 / (time.perf_counter() - started))
    return best
