"""Sums and largest entries over a window that moves, as sums and choices of shifted arrays.

XLA's CPU backend runs a sum over a window several times slower in a loop than outside of one, and
batches go through a network in a loop over tiles; JAX's derivative of the largest entry is slower
still. Slices lose nothing there; their own rules then give J, D and the reverse.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._equation import Equation, general
from .._interpret import interpret
from .._registry import register
from .extremes import record_choice
from .linear import linear_in, no_axis

# Windows of more entries are left to XLA: each entry is an array of its own here, and compiled so.
MOST_SHIFTS = 16


@register("reduce_window_sum")
def summed(equation: Equation) -> list[Any]:
    """Sum over a window that moves along the axes.

    >>> derive(lambda x: lax.reduce_window(x**2, 0.0, lax.add, (2,), (1,), "VALID"), [1, 2, 3])
    value (2,)    [5, 13]
    J     (2, 3)  [[2, 4, 0], [0, 4, 6]]
    D     (2, 3)  [[2, 2, 0], [0, 2, 2]]

    Operands: the array. Parameters: window_dimensions, window_strides, padding, base_dilation,
    window_dilation.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_window.html
    """
    if not _is_shifted(equation):
        return linear_in(equation, None, no_axis(equation))

    def total(array: jax.Array) -> jax.Array:
        first, *others = _windows(equation, array, 0)
        return sum(others, first)

    return instead(equation, total)


@register("reduce_window_max", "reduce_window_min")
def chosen(equation: Equation) -> list[Any]:
    """Largest, or smallest, entry in a window that moves along the axes.

    Of equal entries the first met is taken, as in JAX if they are finite.

    >>> derive(lambda x: lax.reduce_window(x**2, -jnp.inf, lax.max, (2,), (1,), "VALID"), [1, 3, 2])
    value (2,)    [9, 9]
    J     (2, 3)  [[0, 6, 0], [0, 6, 0]]
    D     (2, 3)  [[0, 2, 0], [0, 2, 0]]

    Operands: the array. Parameters: window_dimensions, window_strides, padding, base_dilation,
    window_dilation.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_window.html
    """
    if not _is_shifted(equation):
        return general(equation)
    (operand,) = equation.values
    largest = equation.name == "reduce_window_max"
    ahead, better = (lax.gt, lax.max) if largest else (lax.lt, lax.min)
    value, *others = _windows(equation, operand, -jnp.inf if largest else jnp.inf)
    place = jnp.zeros(value.shape, jnp.int32)
    for number, entry in enumerate(others, 1):
        place = jnp.where(ahead(entry, value), number, place)
        value = better(entry, value)

    def derivative(tangent: jax.Array) -> jax.Array:
        taken, *others = _windows(equation, tangent, 0)
        for number, entry in enumerate(others, 1):
            taken = jnp.where(place == number, entry, taken)
        return taken

    return record_choice(equation, derivative, _alone(equation))


def on_cpu() -> bool:
    """Tell whether programs run on XLA's CPU backend."""
    return jax.default_backend() == "cpu"


def instead(equation: Equation, fn: Callable[..., jax.Array]) -> list[Any]:
    """Walk through `fn`, which does what the primitive does."""
    shapes = [jax.ShapeDtypeStruct(jnp.shape(v), jnp.result_type(v)) for v in equation.values]
    closed = jax.make_jaxpr(fn)(*shapes)
    return interpret(closed.jaxpr, closed.consts, equation.operands, equation.accumulation)


def padded(array: jax.Array, value: float, widths: Sequence[tuple[int, int, int]]) -> jax.Array:
    """Return the array with so many more entries before, behind and between those of each axis."""
    # Held, or XLA may pad anew for each entry of a window.
    return lax.optimization_barrier(lax.pad(array, jnp.asarray(value, array.dtype), widths))


def shifted(
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


def _is_shifted(equation: Equation) -> bool:
    (result,) = equation.result_types
    entries = math.prod(equation.params["window_dimensions"])
    return bool(result.size) and on_cpu() and 0 < entries <= MOST_SHIFTS


def _windows(equation: Equation, array: jax.Array, beyond: float) -> Iterator[jax.Array]:
    """Yield, for each entry of the window, what it meets; `beyond` where there is nothing."""
    params = equation.params
    widths = zip(params["padding"], params["base_dilation"], strict=True)
    array = padded(array, beyond, [(*ends, apart - 1) for ends, apart in widths])
    window, strides = params["window_dimensions"], params["window_strides"]
    return shifted(array, window, strides, params["window_dilation"])


def _alone(equation: Equation) -> Mapping[int, int]:
    """Return the axes along which each position is in a window by itself."""
    about = ("window_dimensions", "window_strides", "padding", "base_dilation")
    each = zip(*(equation.params[key] for key in about), strict=True)
    return {axis: axis for axis, window in enumerate(each) if window == (1, 1, (0, 0), 1)}
