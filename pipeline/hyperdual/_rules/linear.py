"""Primitives that are linear in some of their operands together: reshape, pad, gather, ...

The derivative of such a primitive is itself, with the tangents in place of those operands and
zero for those that do not depend on the inputs; no source is born. Many act on some axes position
by position: a direction axis tied to such an axis stays tied (`moved`, see `Tangent`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._equation import Site, general
from .._registry import register
from .._tangent import Tangent, push, push_over

Moved = Callable[[Site], Mapping[int, int]]


def same_axes_but(*names: str) -> Moved:
    """Every axis stays, but for those that the parameters with these names list."""

    def moved(site: Site) -> Mapping[int, int]:
        touched = set()
        for name in names:
            touched |= set(np.atleast_1d(site.params[name]).tolist())
        return {axis: axis for axis in range(_rank(site)) if axis not in touched}

    return moved


def removed(name: str) -> Moved:
    """The axes that parameter `name` lists go; the others close up."""

    def moved(site: Site) -> Mapping[int, int]:
        gone = {axis % _rank(site) for axis in site.params[name]}
        kept = [axis for axis in range(_rank(site)) if axis not in gone]
        return {axis: at for at, axis in enumerate(kept)}

    return moved


def all_axes(site: Site) -> Mapping[int, int]:
    """Every axis stays."""
    return {axis: axis for axis in range(_rank(site))}


def broadcast(site: Site) -> Mapping[int, int]:
    """Axis i goes to broadcast_dimensions[i]; one that is stretched is repeated, not kept."""
    shape = site.params["shape"]
    sizes = site.values[0].shape
    return {
        axis: to
        for axis, to in enumerate(site.params["broadcast_dimensions"])
        if sizes[axis] == shape[to]
    }


def transposed(site: Site) -> Mapping[int, int]:
    """Axis permutation[i] goes to i."""
    return {axis: to for to, axis in enumerate(site.params["permutation"])}


def no_axis(site: Site) -> Mapping[int, int]:
    """Positions mix along every axis."""
    return {}


def whole_slices(site: Site) -> Mapping[int, int]:
    """Axes that are taken whole stay."""
    (result,) = site.result_types
    same = zip(site.values[0].shape, result.shape, strict=True)
    return {axis: axis for axis, (before, after) in enumerate(same) if before == after}


def unpadded(site: Site) -> Mapping[int, int]:
    """Axes without padding stay."""
    config = site.params["padding_config"]
    return {axis: axis for axis, widths in enumerate(config) if tuple(widths) == (0, 0, 0)}


def _rank(site: Site) -> int:
    return len(site.values[site.active[0]].shape)


# name: (the positions of the linear operands, None for all; the axes that stay by themselves)
LINEAR: dict[str, tuple[tuple[int, ...] | None, Moved]] = {
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
def reduce_sum(site: Site) -> list[Any]:
    """Sum over axes; over one that directions are tied to there is nothing to add up."""
    axes, moved = site.params["axes"], removed("axes")(site)

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        (tangent,) = tangents
        assert tangent is not None
        tied = [axis for axis in axes if axis in tangent.ties]
        others = [axis for axis in axes if axis not in tied]

        def summed(array: jax.Array) -> jax.Array:
            return jnp.moveaxis(array, tied, range(len(tied))).sum(
                axis=[len(tied) + axis - sum(t < axis for t in tied) for axis in others]
            )

        return [push_over(summed, tangent, tied, moved)]

    return site.record(apply, lambda jacobians: [[]])


@register(*LINEAR)
def linear(site: Site) -> list[Any]:
    """Apply the primitive to the tangents as it is applied to the values."""
    positions, moved = LINEAR[site.equation.primitive.name]
    return linear_in(site, positions, moved)


def linear_in(site: Site, positions: Sequence[int] | None, moved: Moved) -> list[Any]:
    """Differentiate a primitive that is linear in the operands at `positions` (None: all)."""
    if positions is None:
        positions = range(len(site.operands))
    if not set(site.active) <= set(positions):
        return general(site)

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        given = [at for at, tangent in enumerate(tangents) if tangent is not None]

        def at_once(*arrays: jax.Array) -> list[jax.Array]:
            # By JAX's derivative, not the primitive itself: a gather that fills what lies beyond
            # the end with NaN fills the tangent with zero.
            every = [jnp.zeros_like(site.values[at]) for at in site.active]
            for at, array in zip(given, arrays, strict=True):
                every[at] = array
            primals = tuple(site.values[at] for at in site.active)
            return jax.jvp(site.apply_active, primals, tuple(every))[1]

        present = [tangent for tangent in tangents if tangent is not None]
        return list(push(at_once, present, moved(site)))

    return site.record(apply, lambda jacobians: [[] for smooth in site.smooth if smooth])
