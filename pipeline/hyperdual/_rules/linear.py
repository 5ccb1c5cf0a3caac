"""Primitives that are linear in some of their operands together: reshape, pad, gather, ...

The derivative of such a primitive is itself, with the tangents in place of those operands and
zero for those that do not depend on the inputs; no source is born. Many act on some axes position
by position: a direction axis tied to such an axis stays tied (`mapped`, see `Tangent`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._equation import Equation, general
from .._registry import register
from .._tangent import Tangent, push, push_over

MappedAxes = Callable[[Equation], Mapping[int, int]]


def same_axes_but(*names: str) -> MappedAxes:
    """Every axis stays, but for those that the parameters with these names list."""

    def mapped(equation: Equation) -> Mapping[int, int]:
        touched = set()
        for name in names:
            touched |= set(np.atleast_1d(equation.params[name]).tolist())
        return {axis: axis for axis in range(_rank(equation)) if axis not in touched}

    return mapped


def removed(name: str) -> MappedAxes:
    """The axes that parameter `name` lists go; the others close up."""

    def mapped(equation: Equation) -> Mapping[int, int]:
        gone = {axis % _rank(equation) for axis in equation.params[name]}
        kept = [axis for axis in range(_rank(equation)) if axis not in gone]
        return {axis: at for at, axis in enumerate(kept)}

    return mapped


def all_axes(equation: Equation) -> Mapping[int, int]:
    """Every axis stays."""
    return {axis: axis for axis in range(_rank(equation))}


def broadcast(equation: Equation) -> Mapping[int, int]:
    """Axis i goes to broadcast_dimensions[i]; one that is stretched is repeated, not kept."""
    shape = equation.params["shape"]
    sizes = equation.values[0].shape
    return {
        axis: to
        for axis, to in enumerate(equation.params["broadcast_dimensions"])
        if sizes[axis] == shape[to]
    }


def transposed(equation: Equation) -> Mapping[int, int]:
    """Axis permutation[i] goes to i."""
    return {axis: to for to, axis in enumerate(equation.params["permutation"])}


def no_axis(equation: Equation) -> Mapping[int, int]:
    """Positions mix along every axis."""
    return {}


def whole_slices(equation: Equation) -> Mapping[int, int]:
    """Axes that are taken whole stay."""
    (result,) = equation.result_types
    same = zip(equation.values[0].shape, result.shape, strict=True)
    return {axis: axis for axis, (before, after) in enumerate(same) if before == after}


def unpadded(equation: Equation) -> Mapping[int, int]:
    """Axes without padding stay."""
    config = equation.params["padding_config"]
    return {axis: axis for axis, widths in enumerate(config) if tuple(widths) == (0, 0, 0)}


def _rank(equation: Equation) -> int:
    return len(equation.values[equation.active[0]].shape)


# name: (the positions of the linear operands, None for all; the axes that stay by themselves)
LINEAR: dict[str, tuple[tuple[int, ...] | None, MappedAxes]] = {
    "broadcast_in_dim": ((0,), broadcast),
    "complex": (None, all_axes),
    "concatenate": (None, same_axes_but("dimension")),
    "conj": (None, all_axes),
    "convert_element_type": (None, all_axes),
    "cumsum": (None, same_axes_but("axis")),
    "dynamic_slice": ((0,), no_axis),
    "dynamic_update_slice": ((0, 1), no_axis),
    "fft": (None, no_axis),
    "gather": ((0,), no_axis),
    "imag": (None, all_axes),
    "optimization_barrier": (None, no_axis),
    "pad": ((0, 1), unpadded),
    "real": (None, all_axes),
    "reduce_precision": (None, all_axes),
    "reduce_window_sum": (None, no_axis),
    "rev": (None, same_axes_but("dimensions")),
    "scatter-add": ((0, 2), no_axis),
    "slice": (None, whole_slices),
    "split": (None, same_axes_but("axis")),
    "squeeze": (None, removed("dimensions")),
    "transpose": (None, transposed),
}


@register("reduce_sum")
def reduce_sum(equation: Equation) -> list[Any]:
    """Sum over axes; over one that directions are tied to there is nothing to add up."""
    axes, mapped = equation.params["axes"], removed("axes")(equation)

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        (tangent,) = tangents
        assert tangent is not None
        tied = [axis for axis in axes if axis in tangent.ties]
        others = [axis for axis in axes if axis not in tied]

        def summed(array: jax.Array) -> jax.Array:
            return jnp.moveaxis(array, tied, range(len(tied))).sum(
                axis=[len(tied) + axis - sum(t < axis for t in tied) for axis in others]
            )

        return [push_over(summed, tangent, tied, mapped)]

    return equation.record(apply, lambda jacobians: [[]])


@register(*LINEAR)
def linear(equation: Equation) -> list[Any]:
    """Apply the primitive to the tangents as it is applied to the values."""
    positions, mapped = LINEAR[equation.name]
    return linear_in(equation, positions, mapped)


def linear_in(equation: Equation, positions: Sequence[int] | None, mapped: MappedAxes) -> list[Any]:
    """Differentiate a primitive that is linear in the operands at `positions` (None: all)."""
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
        return list(push(derivative, present, mapped(equation)))

    return equation.record(apply, lambda jacobians: [[] for _ in range(sum(equation.inexact))])
