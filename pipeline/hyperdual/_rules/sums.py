"""Sums over axes, and running sums: linear, one operand."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._equation import Equation
from .._registry import register
from .._tangent import Tangent, push_over
from .linear import all_axes_but, linear_in, rank


@register("reduce_sum", parameters=("axes", "out_sharding"))
def reduce_sum(equation: Equation) -> list[Any]:
    """Sum over the axes that are listed.

    Over an axis that directions are tied to there is nothing to add up, and nothing is: here J of
    x**2 is diagonal, and its one entry for each direction is the answer.

    >>> derive(lambda x: jnp.sum(x**2), [1, 2, 3])
    value (1,)    [14]
    J     (1, 3)  [[2, 4, 6]]
    D     (1, 3)  [[2, 2, 2]]

    Operands: the array. Parameters: axes, out_sharding.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_sum.html
    """
    axes = equation.params["axes"]
    kept = [axis for axis in range(rank(equation)) if axis not in axes]
    mapped = {axis: to for to, axis in enumerate(kept)}

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

    return equation.record(apply, lambda jacobians: [[]], linear=True)


@register("cumsum", parameters=("axis", "reverse"))
def cumsum(equation: Equation) -> list[Any]:
    """Running sum along one axis, from its start or from its end.

    >>> derive(lambda x: lax.cumsum(x**2), [1, 2, 3])
    value (3,)    [1, 5, 14]
    J     (3, 3)  [[2, 0, 0], [2, 4, 0], [2, 4, 6]]
    D     (3, 3)  [[2, 0, 0], [2, 2, 0], [2, 2, 2]]

    Operands: the array. Parameters: axis, reverse.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.cumsum.html
    """
    return linear_in(equation, None, all_axes_but(equation, [equation.params["axis"]]))
