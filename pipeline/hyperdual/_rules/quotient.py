"""Quotients, by what follows from q b = a.

    q' = (a' - q b') / b,    q'' = (a'' - q b'') / b - 2 (b' / b) q'

The terms that cancel, as in sin(x) / x near 0, do so before anything is divided by a power of b,
and no power of b above the first is formed: it may leave the range of the numbers.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._accumulation import Source, masked_product
from .._active import Active
from .._equation import Equation
from .._tangent import Tangent, add, scale


def quotient(equation: Equation, active: Sequence[Active]) -> Active:
    """Carry the series in the one node that numerator and denominator are functions of."""
    (value,) = equation.apply(*equation.values)
    operands = dict(zip(equation.active, active, strict=True))
    top, bottom = operands.get(0), operands.get(1)
    denominator = equation.values[1]
    slope, bends, ratio = jnp.zeros_like(value), [], None
    if top is not None:
        slope = jnp.ones_like(value) if top.slope is None else top.slope
        if top.curvature is not None:
            bends.append(top.curvature)
    if bottom is not None:
        rate = jnp.ones_like(value) if bottom.slope is None else bottom.slope
        slope = slope - value * rate
        ratio = -2 * rate / denominator
        if bottom.curvature is not None:
            bends.append(-value * bottom.curvature)
    masks = [operand.selected for operand in active if operand.selected is not None]
    return Active(
        active[0].node,
        value,
        slope / denominator,
        sum(bends) / denominator if bends else None,
        ratio,
        sum(masks[1:], masks[0]) if len(masks) == len(active) else None,
    )


def quotient_of_nodes(equation: Equation) -> list[Any]:
    """Differentiate a quotient of two nodes, for each direction."""
    top, bottom = equation.values
    (value,) = equation.apply(top, bottom)
    reciprocal = 1 / bottom

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        of_top, of_bottom = tangents
        terms = [] if of_top is None else [of_top]
        if of_bottom is not None:
            terms.append(scale(of_bottom, -value))
        pushed = add(terms)
        return [None if pushed is None else scale(pushed, reciprocal)]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        (jacobian,) = push(jacobians)
        assert jacobian is not None
        return [[Source(-2 * reciprocal, jacobians[1], jacobian)]]

    def pull(cotangents: list[Any]) -> tuple[list[jax.Array], None]:
        of_top = masked_product(cotangents[0], reciprocal)
        return [of_top, masked_product(of_top, -value)], None

    return equation.record(push, source, pull)
