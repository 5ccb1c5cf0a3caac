"""What the machine could do at most: its measured rates of products and of memory, and the work.

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

Of memory, the least is that points are read and results are written. Where each product and each
activation is a pass over memory of its own, a row moves, by forward accumulation, 1 + 2n numbers
for each unit of a hidden layer

    first layer      twice: its activation writes them, the next product reads them
    the others       four times: a product writes them, its activation reads and writes them, and
                     the next product reads them

and once for each output. A kernel that reaches more than 1 by this count keeps layers in caches or
on the chip.
"""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import numerics

# Square matrices of these sizes, and twice as large ones as long as the last took less than so many
# seconds: what starting a call takes must not count. The best of so many calls each, fewer where
# they take longer than that many seconds together.
_SIZES = (512, 1024, 2048)
_LARGEST = 16384
_LONG_SECONDS = 0.01
_CALLS, _MOST_SECONDS = 10, 0.5
# Numbers of an array: far more than caches hold. Twice as many, likewise.
_LENGTH, _LONGEST = 1 << 24, 1 << 28
_FLOAT32_BYTES = 4


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


def least_bytes(n: int, m: int) -> int:
    """Return the bytes of one row's point and of its value, Jacobian and Hessian diagonal."""
    return _FLOAT32_BYTES * (n + m * (1 + 2 * n))


def unfused_bytes(widths: Sequence[int]) -> int:
    """Return the bytes that one row moves where each layer's steps are passes over memory.

    Args:
        widths: (n, w_1, ..., m), at least one layer.
    """
    first, *others = [*widths[1:-1]] or [0]
    units = 2 * first + 4 * sum(others) + widths[-1]
    return _FLOAT32_BYTES * (widths[0] + (1 + 2 * widths[0]) * units)


def matmul_peak() -> float:
    """Return the best measured rate of float32 matrix products here, in multiply-adds/s."""
    best, size = 0.0, min(_SIZES)
    with numerics("float32"):
        product = jax.jit(jnp.matmul)
        while True:
            matrix = jnp.asarray(np.random.default_rng(0).random((size, size), np.float32))
            seconds = _least_seconds(product, matrix, matrix)
            best = max(best, size**3 / seconds)
            if size >= max(_SIZES) and (seconds > _LONG_SECONDS or size >= _LARGEST):
                return best
            size *= 2


def memory_peak() -> float:
    """Return the best measured rate of a x + y on long float32 arrays here, in bytes/s.

    Counted are two arrays that are read and one that is written (the triad of STREAM, McCalpin
    1995). A CPU's caches may fetch what is written, too.
    """
    best, length = 0.0, _LENGTH
    triad = jax.jit(lambda x, y: 2.5 * x + y)
    while True:
        x, y = jnp.ones(length, jnp.float32), jnp.arange(length, dtype=jnp.float32)
        seconds = _least_seconds(triad, x, y)
        best = max(best, 3 * x.nbytes / seconds)
        if seconds > _LONG_SECONDS or length >= _LONGEST:
            return best
        length *= 2


def _least_seconds(function: Callable[..., jax.Array], *arrays: jax.Array) -> float:
    """Return the least seconds of a call, compiled before."""
    function(*arrays).block_until_ready()
    seconds: list[float] = []
    while len(seconds) < _CALLS and sum(seconds) < _MOST_SECONDS:
        started = time.perf_counter()
        function(*arrays).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
