"""Primitives that act entry by entry: tanh, exp, add, mul, max, select_n, ..."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from .._accumulation import Source, masked_product
from .._active import Active, as_active, times
from .._equation import Equation, general
from .._interpret import interpret
from .._registry import register
from .._tangent import Tangent, add, scale, select
from .linear import all_axes, linear_in
from .quotient import quotient, quotient_of_nodes
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
# Linear, but not in each operand everywhere: some of the entries are taken, others left.
_SELECTING = ("max", "min", "select_n", "clamp")
# Of these JAX multiplies by one, half and zero.
_EXTREMES = ("max", "min")
CONSTANT = ("stop_gradient", "sign", "floor", "ceil", "round")
# All primitives that act entry by entry, those without derivatives and the conversion included.
ENTRYWISE = frozenset(
    {*LINEAR, *BILINEAR, *CURVED, *CONSTANT, "convert_element_type"}
    | {"and", "or", "xor", "not", "eq", "ne", "lt", "le", "gt", "ge", "is_finite"}
)


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

    What is piecewise linear has no second derivative of its own; `select_n`, `clamp`, `max` and
    `min` select the tangents, too, so that an infinite slope of what is not taken does no harm.

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
    if not real:
        return general(equation)
    if any(operand.value.shape != shape for operand in active):
        stretched = [
            _stretched(equation, operand, shape) if isinstance(operand, Active) else operand
            for operand in equation.operands
        ]
        return elementwise(replace(equation, operands=stretched))
    if equation.accumulation.stepwise:
        nodes = [operand.as_node(equation.accumulation) for operand in active]
        active = [as_active(node) for node in nodes]
    if all(operand.node is active[0].node for operand in active):
        return [series(equation, active, selects=equation.name in _SELECTING)]
    if equation.name in ("select_n", "clamp"):
        # Selected, not multiplied by one and zero: what is not taken may be infinite.
        return linear_in(equation, None, all_axes(equation))
    return _partials(equation)


def _stretched(equation: Equation, operand: Active, shape: tuple[int, ...]) -> Any:
    """Repeat an operand along its axes of size one, as entry by entry with a larger one."""
    axes = range(operand.value.ndim)
    closed = jax.make_jaxpr(lambda x: lax.broadcast_in_dim(x, shape, axes))(operand.value)
    (stretched,) = interpret(closed.jaxpr, closed.consts, [operand], equation.accumulation)
    return stretched


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


def series(equation: Equation, active: Sequence[Active], selects: bool = False) -> Active:
    """Carry the series in the one node on: phi' and phi'' of the composition.

    Args:
        equation: that acts entry by entry.
        active: its active operands, all of one node.
        selects: whether some tangents may be left out, rather than multiplied by zero.
    """
    name = equation.name
    if len(active) == 1 and all(value is None for value in equation.params.values()):
        if name in JETS:
            return composed(active[0], *JETS[name](active[0].value))
        if name in RATIOS:
            (value,) = equation.apply(*equation.values)
            return _by_ratio(active[0], value, RATIOS[name])
    if name == "div":
        return quotient(equation, active)
    derivative = _selecting_derivative if name in _EXTREMES else _derivative
    values = tuple(operand.value for operand in active)
    slopes = tuple(
        jnp.ones_like(operand.value) if operand.slope is None else operand.slope
        for operand in active
    )
    (value,) = equation.apply(*equation.values)

    def first(*at: Any) -> jax.Array:
        return derivative(equation, at, slopes)

    slope: jax.Array | None
    curvature: jax.Array | None
    straight = name in LINEAR or (name in BILINEAR and len(active) == 1)
    if straight or (name == "custom_jvp_call" and _is_straight(first, values, slopes)):
        slope, curvature = first(*values), None
    else:
        slope, curvature = jax.jvp(first, values, slopes)
    if any(operand.curvature is not None for operand in active):
        bends = tuple(
            jnp.zeros_like(operand.value) if operand.curvature is None else operand.curvature
            for operand in active
        )
        carried = derivative(equation, values, bends)
        curvature = carried if curvature is None else curvature + carried
    if name in ("add", "add_any", "copy") and len(active) == 1:
        slope = active[0].slope  # exactly one stays structurally one
    selected = None
    if selects or any(operand.selected is not None for operand in active):
        # Where a tangent that is not a number does not arrive, it was left out on the way.
        selected = jnp.isnan(derivative(equation, values, [_marked(each) for each in active]))
    return Active(active[0].node, value, slope, curvature, selected=selected)


def _is_straight(first: Callable[..., jax.Array], values: Any, slopes: Any) -> bool:
    """Tell whether the derivative of phi' is zero for JAX, too, as of a ReLU."""
    bend = jax.make_jaxpr(lambda *values: jax.jvp(first, values, slopes)[1])(*values).jaxpr
    (result,) = bend.outvars
    for eqn in bend.eqns:
        if result in eqn.outvars and eqn.primitive.name == "broadcast_in_dim":
            (result,) = eqn.invars
    return isinstance(result, core.Literal) and result.val == 0


def _derivative(equation: Equation, values: Sequence[Any], tangents: Sequence[Any]) -> jax.Array:
    return jax.jvp(equation.apply_active, tuple(values), tuple(tangents))[1][0]


def _selecting_derivative(
    equation: Equation, values: Sequence[Any], tangents: Sequence[Any]
) -> jax.Array:
    """The derivative of max and min; what is not taken is left out, not multiplied by zero."""
    terms = [
        _kept(tangent, _derivative(equation, values, _unit(values, at)))
        for at, tangent in enumerate(tangents)
    ]
    return functools.reduce(jnp.add, terms)


def _unit(values: Sequence[Any], at: int) -> list[jax.Array]:
    return [
        jnp.ones_like(value) if other == at else jnp.zeros_like(value)
        for other, value in enumerate(values)
    ]


def _kept(array: jax.Array, share: jax.Array) -> jax.Array:
    """Return the product, zero where the share is."""
    return jnp.where(share == 0, jnp.zeros_like(array), array * share)


def _marked(operand: Active) -> jax.Array:
    """Return NaN where the operand goes by its node, else zero."""
    mark = jnp.full_like(operand.value, jnp.nan)
    if operand.selected is None:
        return mark
    return jnp.where(operand.selected, mark, jnp.zeros_like(mark))


def composed(inner: Active, value: Any, slope: Any, curvature: Any) -> Active:
    """Return phi(inner), given phi, phi' and phi'' at inner's value (chain rule, twice)."""
    if inner.slope is not None:
        # Not with the square of the inner slope, which may leave the range.
        curvature = curvature * inner.slope * inner.slope
    if inner.curvature is not None:
        curvature = curvature + slope * inner.curvature
    return Active(inner.node, value, times(slope, inner.slope), curvature, selected=inner.selected)


def _by_ratio(inner: Active, value: jax.Array, ratio: Ratio) -> Active:
    """Return phi(inner) with the part of its second derivative that is r phi' kept so.

    u = phi(a) has u'' = phi' a'' + phi'' a'^2 = phi' a'' + (r a') u' with r = phi'' / phi'.
    """
    slope, r = ratio(inner.value, value)
    bend = None if inner.curvature is None else slope * inner.curvature
    return Active(
        inner.node,
        value,
        times(slope, inner.slope),
        bend,
        times(r, inner.slope),
        inner.selected,
    )


def _partials(equation: Equation) -> list[Any]:
    """Differentiate where several nodes meet."""
    name = equation.name
    if name == "div":
        return quotient_of_nodes(equation)
    values = tuple(equation.values[at] for at in equation.active)
    count = len(values)

    def partial(at: int, *where: Any) -> jax.Array:
        return _derivative(equation, where, _unit(values, at))

    gain: list[jax.Array | None] = [
        None if name in ("add", "add_any") else partial(at, *values) for at in range(count)
    ]
    second: list[tuple[int, int, jax.Array]] = []
    if name not in LINEAR:
        for a, b in combinations_with_replacement(range(count), 2):
            if name in BILINEAR and a == b:
                continue
            along = tuple(_unit(values, b))
            bend = jax.jvp(lambda *where, a=a: partial(a, *where), values, along)[1]
            second.append((a, b, bend if a == b else 2 * bend))

    def times(tangent: Tangent, factor: jax.Array | None) -> Tangent:
        scaled = scale(tangent, factor)
        if name not in _EXTREMES or factor is None:
            return scaled
        return select(scaled, factor != 0)

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        return [add([times(t, g) for t, g in zip(tangents, gain, strict=True) if t is not None])]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        return [[Source(bend, jacobians[a], jacobians[b]) for a, b, bend in second]]

    def pull(cotangents: list[Any]) -> tuple[list[Any], None]:
        (cotangent,) = cotangents
        return [cotangent if g is None else masked_product(cotangent, g) for g in gain], None

    return equation.record(push, source, pull)
