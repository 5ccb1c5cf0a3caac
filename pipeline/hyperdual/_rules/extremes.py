"""Largest and smallest entries, over axes and running; what is not taken has no derivative.

JAX multiplies the tangents of what is not taken by zero, which an infinite one does not survive;
here they are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._equation import Equation
from .._registry import register
from .._tangent import Tangent, push
from .linear import all_axes_but, rank


@register("reduce_max", "reduce_min")
def reduced(equation: Equation) -> list[Any]:
    """Largest, or smallest, entry over the axes that are listed.

    Entries that share the first place share the derivative, as in JAX.

    >>> derive(lambda x: jnp.max(x.reshape(2, 2) ** 2, axis=1), [1, 2, 4, 3])
    value (2,)    [4, 16]
    J     (2, 4)  [[0, 4, 0, 0], [0, 0, 8, 0]]
    D     (2, 4)  [[0, 2, 0, 0], [0, 0, 2, 0]]

    Operands: the array. Parameters: axes, out_sharding.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reduce_max.html
    """
    (operand,) = equation.values
    axes = tuple(equation.params["axes"])
    (result,) = equation.apply(operand)
    taken = operand == jnp.expand_dims(result, axes)
    count = taken.sum(axes)
    kept = [axis for axis in range(rank(equation)) if axis not in axes]

    def derivative(tangent: jax.Array) -> jax.Array:
        chosen = jnp.where(taken, tangent, jnp.zeros_like(tangent))
        return chosen.sum(axes) / count.astype(tangent.dtype)

    return record_choice(equation, derivative, {axis: to for to, axis in enumerate(kept)})


@register("cummax", "cummin")
def running(equation: Equation) -> list[Any]:
    """Largest, or smallest, entry so far along one axis, from its start or from its end.

    Of equal entries the first met is taken.

    >>> derive(lambda x: lax.cummax(x**2), [2, 1, 3])
    value (3,)    [4, 4, 9]
    J     (3, 3)  [[4, 0, 0], [4, 0, 0], [0, 0, 6]]
    D     (3, 3)  [[2, 0, 0], [2, 0, 0], [0, 0, 2]]

    Operands: the array. Parameters: axis, reverse.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.cummax.html
    """
    (operand,) = equation.values
    axis, largest = equation.params["axis"], equation.name == "cummax"

    def later(before: Any, after: Any) -> Any:
        ahead = after[0] > before[0] if largest else after[0] < before[0]
        return tuple(jnp.where(ahead, b, a) for a, b in zip(before, after, strict=True))

    places = lax.broadcasted_iota(jnp.int32, operand.shape, axis)
    _, chosen = lax.associative_scan(
        later, (operand, places), reverse=equation.params["reverse"], axis=axis
    )

    def derivative(tangent: jax.Array) -> jax.Array:
        return jnp.take_along_axis(tangent, chosen, axis)

    return record_choice(equation, derivative, all_axes_but(equation, [axis]))


def record_choice(
    equation: Equation, derivative: Callable[[jax.Array], jax.Array], mapped: Mapping[int, int]
) -> list[Any]:
    """Record a primitive that takes some entries of its operand, given its derivative."""
    (operand,) = equation.values

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        present = [tangent for tangent in tangents if tangent is not None]
        return list(push(lambda array: [derivative(array)], present, mapped))

    def pull(cotangents: list[jax.Array | None]) -> tuple[list[jax.Array], None]:
        (cotangent,) = cotangents
        transposed = jax.linear_transpose(derivative, operand)
        return list(jax.vmap(transposed)(cotangent)), None

    return equation.record(apply, lambda jacobians: [[]], pull)
