"""Primitives that are linear in some of their operands together; here those that change the type.

The derivative of such a primitive is itself, with the tangents in place of those operands and
zero for those that do not depend on the inputs; no source is born. Many act on some axes position
by position: a direction axis tied to such an axis stays tied (`mapped`, see `Tangent`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._equation import Equation, general
from .._registry import register
from .._tangent import Tangent, push

# For an equation, {axis of the operands: axis of the results} for the axes along which it treats
# each position by itself, and all alike, as `jax.vmap` would map it.
MappedAxes = Callable[[Equation], Mapping[int, int]]


def linear_in(
    equation: Equation, positions: Sequence[int] | None, mapped: Mapping[int, int]
) -> list[Any]:
    """Differentiate a primitive that is linear in the operands at `positions` (None: all).

    Args:
        equation: that applies the primitive; where an operand at another position is active, the
            general rule does it.
        positions: of the operands that it is linear in, together.
        mapped: {axis of the operands: axis of the results}; see `MappedAxes`.
    """
    if positions is None:
        positions = range(len(equation.operands))
    if not set(equation.active) <= set(positions):
        return general(equation)
    primals = tuple(equation.values[at] for at in equation.active)

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        nonzero = [at for at, tangent in enumerate(tangents) if tangent is not None]

        def derivative(*arrays: jax.Array) -> list[jax.Array]:
            # By JAX's derivative, not the primitive itself: a gather that fills what lies beyond
            # the end with NaN fills the tangent with zero.
            directions = [jnp.zeros_like(primal) for primal in primals]
            for at, array in zip(nonzero, arrays, strict=True):
                directions[at] = array
            return jax.jvp(equation.apply_active, primals, tuple(directions))[1]

        present = [tangent for tangent in tangents if tangent is not None]
        return list(push(derivative, present, mapped))

    return equation.record(
        apply, lambda jacobians: [[] for _ in range(sum(equation.inexact))], linear=True
    )


def rank(equation: Equation) -> int:
    """Return the number of axes of the first active operand."""
    return len(equation.values[equation.active[0]].shape)


def all_axes(equation: Equation) -> Mapping[int, int]:
    """Return every axis: each entry is treated by itself."""
    return {axis: axis for axis in range(rank(equation))}


def all_axes_but(equation: Equation, axes: Sequence[int]) -> Mapping[int, int]:
    """Return every axis that is not among `axes`, as it stays where it is."""
    return {axis: axis for axis in range(rank(equation)) if axis not in axes}


def no_axis(equation: Equation) -> Mapping[int, int]:
    """Return no axis: positions mix along each of them, or may."""
    return {}


@register(
    "convert_element_type",
    "reduce_precision",
    parameters=("new_dtype", "weak_type", "sharding", "exponent_bits", "mantissa_bits"),
)
def convert(equation: Equation) -> list[Any]:
    """Round each entry to another type, or to fewer bits of its own.

    J and D are rounded as the value is.

    >>> derive(lambda x: lax.reduce_precision(x**2, 8, 4), [1.5, 0.25])
    value (2,)    [2.25, 0.0625]
    J     (2, 2)  [[3, 0], [0, 0.5]]
    D     (2, 2)  [[2, 0], [0, 2]]

    Operands: the array. Parameters: new_dtype, weak_type, sharding; or exponent_bits,
    mantissa_bits.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.convert_element_type.html
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_precision.html
    """
    return linear_in(equation, None, all_axes(equation))


@register("complex", "conj", "imag", "real", parameters=("input_dtype",))
def complex_parts(equation: Equation) -> list[Any]:
    """Make complex numbers of real and imaginary parts, conjugate them, take them apart.

    Each is linear over the real numbers, and the directions are real. |a + bi|^2 = a^2 + b^2:

    >>> def squared_magnitude(x):
    ...     z = lax.complex(x[0], x[1])
    ...     return lax.real(z * lax.conj(z)) + lax.imag(z)
    >>> derive(squared_magnitude, [3, 2])
    value (1,)    [15]
    J     (1, 2)  [[6, 5]]
    D     (1, 2)  [[2, 2]]

    Operands: the real and the imaginary part; for the others the array. Parameters: of `conj`,
    input_dtype.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.complex.html
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.conj.html
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.real.html
    """
    return linear_in(equation, None, all_axes(equation))


@register("fft")
def fft(equation: Equation) -> list[Any]:
    """Transform the last axes to their discrete spectrum, or back; each entry mixes them all.

    Of two entries a and b the spectrum is a + b, a - b:

    >>> derive(lambda x: jnp.fft.fft(x**2).real, [1, 2])
    value (2,)    [5, -3]
    J     (2, 2)  [[2, 4], [2, -4]]
    D     (2, 2)  [[2, 2], [2, -2]]

    Operands: the array. Parameters: fft_type, fft_lengths.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.fft.html
    """
    return linear_in(equation, None, no_axis(equation))


@register("optimization_barrier")
def optimization_barrier(equation: Equation) -> list[Any]:
    """Return all operands as they are, none before all of them are there.

    >>> derive(lambda x: sum(lax.optimization_barrier((x[0] ** 2, x[1] ** 3))), [2, 1])
    value (1,)    [5]
    J     (1, 2)  [[4, 3]]
    D     (1, 2)  [[2, 6]]

    Operands: any number of arrays. No parameters.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.optimization_barrier.html
    """
    return linear_in(equation, None, all_axes(equation))
