"""Primitives that act entry by entry: tanh, exp, add, mul, max, select_n, ..."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import jax
import jax.numpy as jnp

from .._accumulation import Source, masked_product
from .._active import Active, as_active
from .._equation import Equation, general
from .._registry import register
from .._tangent import Tangent, add, scale
from .linear import all_axes, linear_in
from .transcendental import JETS, RATIOS, Ratio

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


@register(*LINEAR, *BILINEAR, *CURVED, parameters=("accuracy", "out_dtype", "y"))
def elementwise(equation: Equation) -> list[Any]:
    """Apply a function entry by entry, to one array or to several of one shape.

    A function phi of one node v is carried as a scalar series, phi' and phi'' for each entry (see
    `Active`): an activation of many primitives costs the directions one step,

        J = phi' J_v,    D = phi' D_v + phi'' J_v^2.

    >>> derive(lambda x: lax.integer_pow(x, 3), [2, 1])
    value (2,)    [8, 1]
    J     (2, 2)  [[12, 0], [0, 3]]
    D     (2, 2)  [[12, 0], [0, 6]]

    Where two nodes v, w meet, the partial derivatives of f are taken once for each entry, not for
    each direction,

        J = f_v J_v + f_w J_w,    D = f_v D_v + f_w D_w + f_vv J_v^2 + 2 f_vw J_v J_w + f_ww J_w^2.

    >>> derive(lambda x: lax.mul(x[:1] ** 2, x[1:] ** 2), [3, 2])
    value (1,)    [36]
    J     (1, 2)  [[24, 36]]
    D     (1, 2)  [[8, 18]]

    What is piecewise linear has no second derivative of its own; `select_n` and `clamp` select the
    tangents, too, so that an infinite slope of what is not taken does no harm.

    >>> derive(lambda x: lax.select_n(x > 0, jnp.zeros(2), x**2), [3, -2])
    value (2,)    [9, 0]
    J     (2, 2)  [[6, 0], [0, 0]]
    D     (2, 2)  [[2, 0], [0, 0]]

    Operands: one to three arrays of one shape (bounds of `clamp` may be scalars). Parameters: y,
    the power, of `integer_pow`; out_dtype, of `mul`; accuracy, of most functions of one operand.
    https://docs.jax.dev/en/latest/jax.lax.html#operators
    """
    (shape,) = [result.shape for result in equation.result_types]
    active = [equation.operands[at] for at in equation.active]
    real = all(jnp.issubdtype(operand.value.dtype, jnp.floating) for operand in active)
    if not real or any(operand.value.shape != shape for operand in active):
        return general(equation)
    if equation.accumulation.stepwise:
        nodes = [operand.as_node(equation.accumulation) for operand in active]
        active = [as_active(node) for node in nodes]
    if all(operand.node is active[0].node for operand in active):
        return [series(equation, active)]
    if equation.name in ("select_n", "clamp"):
        # Selected, not multiplied by one and zero: what is not taken may be infinite.
        return linear_in(equation, None, all_axes(equation))
    return _partials(equation)


@register(*CONSTANT)
def constant(equation: Equation) -> list[Any]:
    """Apply a function whose derivative is zero, or declared to be.

    >>> derive(lambda x: lax.floor(x) * x**2, [1.5])
    value (1,)    [2.25]
    J     (1, 1)  [[3]]
    D     (1, 1)  [[2]]
    >>> derive(lambda x: lax.stop_gradient(x) * x**2, [3])
    value (1,)    [27]
    J     (1, 1)  [[18]]
    D     (1, 1)  [[6]]

    Operands: one array. Parameters: rounding_method, of `round`.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.floor.html
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.stop_gradient.html
    """
    return equation.apply(*equation.values)


def series(equation: Equation, active: Sequence[Active]) -> Active:
    """Carry the series in the one node on: phi' and phi'' of the composition."""
    name = equation.name
    if len(active) == 1 and all(value is None for value in equation.params.values()):
        if name in JETS:
            return composed(active[0], *JETS[name](active[0].value))
        if name in RATIOS:
            (value,) = equation.apply(*equation.values)
            return _by_ratio(active[0], value, RATIOS[name])
    if name == "div":
        return _quotient(equation, active)
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
        # Not with the square of the inner slope, which may leave the range.
        curvature = curvature * inner.slope * inner.slope
    if inner.curvature is not None:
        curvature = curvature + slope * inner.curvature
    return Active(inner.node, value, _times(slope, inner.slope), curvature)


def _by_ratio(inner: Active, value: jax.Array, ratio: Ratio) -> Active:
    """Return phi(inner) with the part of its second derivative that is r phi' kept so.

    u = phi(a) has u'' = phi' a'' + phi'' a'^2 = phi' a'' + (r a') u' with r = phi'' / phi'.
    """
    slope, r = ratio(inner.value, value)
    bend = None if inner.curvature is None else slope * inner.curvature
    return Active(inner.node, value, _times(slope, inner.slope), bend, _times(r, inner.slope))


def _quotient(equation: Equation, active: Sequence[Active]) -> Active:
    """Return q = a / b of one node by what follows from q b = a.

    q' = (a' - q b') / b and q'' = (a'' - q b'') / b - 2 (b' / b) q'. The terms that cancel, as in
    sin(x) / x near 0, do so before anything is divided by a power of b.
    """
    (value,) = equation.apply(*equation.values)
    operands = dict(zip(equation.active, active, strict=True))
    top, bottom = operands.get(0), operands.get(1)
    node, denominator = active[0].node, equation.values[1]
    if bottom is None:
        assert top is not None
        slope = (jnp.ones_like(value) if top.slope is None else top.slope) / denominator
        return Active(
            node, value, slope, None if top.curvature is None else top.curvature / denominator
        )
    slope = -value if bottom.slope is None else -value * bottom.slope
    if top is not None:
        slope = (1 if top.slope is None else top.slope) + slope
    bends = [] if top is None or top.curvature is None else [top.curvature]
    if bottom.curvature is not None:
        bends.append(-value * bottom.curvature)
    ratio = (-2 if bottom.slope is None else -2 * bottom.slope) / denominator
    return Active(
        node, value, slope / denominator, sum(bends) / denominator if bends else None, ratio
    )


def _times(factor: jax.Array, slope: jax.Array | None) -> jax.Array:
    return factor if slope is None else factor * slope


def _partials(equation: Equation) -> list[Any]:
    """Differentiate where several nodes meet."""
    name = equation.name
    if name == "div":
        return _quotient_of_nodes(equation)
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


def _quotient_of_nodes(equation: Equation) -> list[Any]:
    """Differentiate q = a / b by what follows from q b = a, as in `_quotient`.

    J = (J_a - q J_b) / b, D = (D_a - q D_b) / b - 2 (J_b / b) J.
    """
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
        return [[Source(-2 * reciprocal, jacobians[1], jacobian)]]

    def pull(cotangents: list[Any]) -> tuple[list[Any], None]:
        of_top = masked_product(cotangents[0], reciprocal)
        return [of_top, masked_product(of_top, -value)], None

    return equation.record(push, source, pull)
