"""Primitives that act entry by entry: tanh, exp, add, mul, max, select_n, ...

Functions of one node are carried as a scalar series (see `Active`). Where two nodes v, w meet,

    J = f_v J_v + f_w J_w,    D = f_v D_v + f_w D_w + f_vv J_v^2 + 2 f_vw J_v J_w + f_ww J_w^2,

with the partial derivatives of f taken once for each entry, not for each direction.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import jax
import jax.numpy as jnp

from .._accumulation import Source
from .._active import Active
from .._equation import Equation, general
from .._registry import register
from .._tangent import Tangent, add, scale
from .linear import all_axes, linear_in
from .transcendental import JETS

# No second derivative, pure or mixed.
LINEAR = (
    "add", "add_any", "sub", "neg", "copy", "max", "min", "select_n", "clamp", "abs",
)  # fmt: skip
# No pure second derivative.
BILINEAR = ("mul",)
CURVED = (
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e", "bessel_i1e", "cbrt",
    "cos", "cosh", "digamma", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1",
    "integer_pow", "lgamma", "log", "log1p", "logistic", "polygamma", "pow", "rem", "rsqrt", "sin",
    "sinh", "sqrt", "square", "tan", "tanh",
)  # fmt: skip
CONSTANT = ("stop_gradient", "sign", "floor", "ceil", "round")


@register(*LINEAR, *BILINEAR, *CURVED)
def elementwise(equation: Equation) -> list[Any]:
    """Differentiate a function that acts entry by entry, of one node or of several."""
    (shape,) = [result.shape for result in equation.result_types]
    active = [equation.operands[at] for at in equation.active]
    real = all(jnp.issubdtype(operand.value.dtype, jnp.floating) for operand in active)
    if not real or any(operand.value.shape != shape for operand in active):
        return general(equation)
    if all(operand.node is active[0].node for operand in active):
        return [series(equation, active)]
    if equation.name in ("select_n", "clamp"):
        # Selected, not multiplied by one and zero: what is not taken may be infinite.
        return linear_in(equation, None, all_axes)
    return _partials(equation)


@register(*CONSTANT)
def constant(equation: Equation) -> list[Any]:
    """A function whose derivative is zero, or declared to be."""
    return equation.apply(*equation.values)


def series(equation: Equation, active: Sequence[Active]) -> Active:
    """Carry the series in the one node on: phi' and phi'' of the composition."""
    name = equation.name
    if name in JETS and len(active) == 1:
        return composed(active[0], *JETS[name](active[0].value))
    values = tuple(operand.value for operand in active)
    slopes = tuple(
        jnp.ones_like(operand.value) if operand.slope is None else operand.slope
        for operand in active
    )
    (value,) = equation.apply(*equation.values)

    def first(*at: Any) -> jax.Array:
        return jax.jvp(equation.apply_active, at, slopes)[1][0]

    slope: jax.Array | None
    curvature: jax.Array | None
    straight = name in LINEAR or (name in BILINEAR and len(active) == 1)
    if straight:
        slope, curvature = first(*values), None
    else:
        slope, curvature = jax.jvp(first, values, slopes)
    if any(operand.curvature is not None for operand in active):
        bends = tuple(
            jnp.zeros_like(operand.value) if operand.curvature is None else operand.curvature
            for operand in active
        )
        carried = jax.jvp(equation.apply_active, values, bends)[1][0]
        curvature = carried if curvature is None else curvature + carried
    if name in ("add", "add_any", "copy") and len(active) == 1:
        slope = active[0].slope  # exactly one stays structurally one
    return Active(active[0].node, value, slope, curvature)


def composed(inner: Active, value: Any, slope: Any, curvature: Any) -> Active:
    """Return phi(inner), given phi, phi' and phi'' at inner's value (chain rule, twice)."""
    if inner.slope is not None:
        curvature = curvature * inner.slope**2
    if inner.curvature is not None:
        curvature = curvature + slope * inner.curvature
    if inner.slope is not None:
        slope = slope * inner.slope
    return Active(inner.node, value, slope, curvature)


def _partials(equation: Equation) -> list[Any]:
    """Differentiate where several nodes meet."""
    name = equation.name
    values = tuple(equation.values[at] for at in equation.active)
    count = len(values)

    def unit(at: int) -> tuple[jax.Array, ...]:
        return tuple(
            jnp.ones_like(value) if other == at else jnp.zeros_like(value)
            for other, value in enumerate(values)
        )

    def partial(at: int, *where: Any) -> jax.Array:
        return jax.jvp(equation.apply_active, where, unit(at))[1][0]

    gain: list[jax.Array | None] = [
        None if name in ("add", "add_any") else partial(at, *values) for at in range(count)
    ]
    second: list[tuple[int, int, jax.Array]] = []
    if name not in LINEAR:
        for a, b in combinations_with_replacement(range(count), 2):
            if name in BILINEAR and a == b:
                continue
            bend = jax.jvp(lambda *where, a=a: partial(a, *where), values, unit(b))[1]
            second.append((a, b, bend if a == b else 2 * bend))

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        return [add([scale(t, g) for t, g in zip(tangents, gain, strict=True) if t is not None])]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        return [[Source(bend, jacobians[a], jacobians[b]) for a, b, bend in second]]

    def pull(cotangents: list[Any]) -> tuple[list[Any], None]:
        (cotangent,) = cotangents
        return [cotangent if g is None else cotangent * g for g in gain], None

    return equation.record(push, source, pull)
