"""Special functions whose derivatives JAX has wrong, put right before any method sees a program.

So every method has them right, and the reference that methods are verified against, too. Seen to be
wrong in JAX 0.10.2, and right here with any version:

* `lgamma`, `digamma` and `polygamma` of a negative argument. JAX takes the derivative of `digamma`
  from the Hurwitz zeta function, which does not hold there (1e18 for 15 at -10.3).
* `bessel_i0e` and `bessel_i1e` at 0, where their slope jumps. JAX takes the middle of it, but for
  the absolute value in i0(x) = exp(|x|) i0e(x) the right one: i0' at 0 is 1, and should be 0.

Inside functions with derivative rules of their own the rule is taken as it is. What is left to JAX
is listed in the README of this folder.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from ._jaxpr import equations, walk

Function = Callable[..., Any]

# Constants of at most so many entries are followed, to know the order of a polygamma function.
_FOLLOWED = 1 << 12


def corrected(fn: Function) -> Function:
    """Return a function with the right values and derivatives, of the same arrays.

    Args:
        fn: what JAX can trace; a program without such functions stays as it is.
    """
    untouched: set[tuple] = set()  # shapes and types for which nothing is to be corrected

    def function(*operands: Any) -> Any:
        types = tuple((jnp.shape(operand), jnp.result_type(operand)) for operand in operands)
        if types in untouched:
            return fn(*operands)
        closed, shape = jax.make_jaxpr(fn, return_shape=True)(*operands)
        if not _faulty(closed):
            untouched.add(types)
            return fn(*operands)
        results = _evaluate(closed, operands)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return function


def _faulty(program: Any) -> bool:
    return any(
        eqn.primitive.name in _RIGHT or eqn.primitive.name == "polygamma"
        for eqn in equations(program)
    )


def _evaluate(closed: core.ClosedJaxpr, operands: Sequence[Any]) -> list[Any]:
    return walk(closed.jaxpr, closed.consts, operands, _apply)


def _apply(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
    name, params = eqn.primitive.name, eqn.params
    if name in _RIGHT:
        return [_RIGHT[name](values[0])]
    if name == "polygamma" and (order := _constant_order(values[0])):
        return [_polygamma(values[1], order)]
    if name == "jit":
        return _evaluate(params["jaxpr"], values)
    if not name.startswith("custom_"):
        params = {key: _in_parameter(value) for key, value in params.items()}
    params = eqn.primitive.get_bind_params(params)
    constant = name in ("broadcast_in_dim", "convert_element_type", "reshape") and not any(
        isinstance(value, jax.core.Tracer) or np.size(value) > _FOLLOWED for value in values
    )
    shape = getattr(eqn.outvars[0].aval, "shape", ())
    small = constant and math.prod(shape) <= _FOLLOWED
    with eqn.ctx.manager:
        if small:
            with jax.ensure_compile_time_eval():
                results = eqn.primitive.bind(*values, **params)
        else:
            results = eqn.primitive.bind(*values, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def _in_parameter(value: Any) -> Any:
    """Return a parameter with the programs in it (of scan, cond, ...) corrected."""
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_in_parameter(item) for item in value)
    if isinstance(value, core.ClosedJaxpr) and _faulty(value):
        return _traced(value)
    if isinstance(value, core.Jaxpr) and not value.constvars and _faulty(value):
        inner = _traced(core.ClosedJaxpr(value, []))
        return inner.jaxpr if not inner.consts else value
    return value


def _traced(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]
    return jax.make_jaxpr(lambda *operands: _evaluate(closed, operands))(*shapes)


def _constant_order(order: Any) -> int | None:
    """Return n >= 1 if it is one integer that is known now."""
    if isinstance(order, jax.core.Tracer):
        return None
    orders = np.unique(np.asarray(order))
    if orders.size == 1 and orders[0] >= 1 and orders[0] == int(orders[0]):
        return int(orders[0])
    return None


@jax.custom_jvp
def _lgamma(x: jax.Array) -> jax.Array:
    return lax.lgamma(x)


@_lgamma.defjvp
def _lgamma_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _lgamma(*x), _digamma(*x) * t[0]


@jax.custom_jvp
def _digamma(x: jax.Array) -> jax.Array:
    return lax.digamma(x)


@_digamma.defjvp
def _digamma_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _digamma(*x), _polygamma(*x, 1) * t[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _polygamma(x: jax.Array, order: int) -> jax.Array:
    """psi_n by (-1)^n psi_n(1 - x) - psi_n(x) = pi d^n/dx^n cot(pi x) where x is negative.

    https://dlmf.nist.gov/5.15.E6
    """
    negative = x < 0
    mirrored = jnp.where(negative, 1 - x, x)
    direct = lax.polygamma(jnp.full_like(x, order), mirrored)
    # cot(pi x) has the period 1: near 0 no digits are lost.
    distance = jnp.where(negative, x - jnp.round(x), 0.25)
    cotangent = 1 / jnp.tan(math.pi * distance)
    derivative = jnp.polyval(jnp.asarray(_cotangent_derivative(order), x.dtype), cotangent)
    return jnp.where(negative, (-1) ** order * direct - math.pi * derivative, direct)


@_polygamma.defjvp
def _polygamma_jvp(order: int, x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _polygamma(*x, order), _polygamma(*x, order + 1) * t[0]


def _cotangent_derivative(order: int) -> list[float]:
    """Return d^n/dx^n cot(pi x) as a polynomial in cot(pi x), highest power first.

    From d/dx cot(pi x) = -pi (1 + cot^2).
    """
    polynomial = np.polynomial.Polynomial([0, 1])
    for _ in range(order):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([-math.pi, 0, -math.pi])
    return [float(coefficient) for coefficient in polynomial.coef[::-1]]


def _side(x: jax.Array) -> jax.Array:
    """The slope of |x| as JAX has it: 1 at 0."""
    return jnp.where(x >= 0, jnp.ones_like(x), -jnp.ones_like(x))


@jax.custom_jvp
def _i0e(x: jax.Array) -> jax.Array:
    return lax.bessel_i0e(x)


# I_0' = I_1, I_1' = I_0 - I_1 / x, (I_1 / x)' = I_2 / x (https://dlmf.nist.gov/10.29), each times
# exp(-|x|).
@_i0e.defjvp
def _i0e_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _i0e(*x), (_i1e(*x) - _side(*x) * _i0e(*x)) * t[0]


@jax.custom_jvp
def _i1e(x: jax.Array) -> jax.Array:
    return lax.bessel_i1e(x)


@_i1e.defjvp
def _i1e_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _i1e(*x), (_i0e(*x) - _i1e_over_x(*x) - _side(*x) * _i1e(*x)) * t[0]


@jax.custom_jvp
def _i1e_over_x(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 0.5, lax.bessel_i1e(x) / jnp.where(x == 0, 1, x))


@_i1e_over_x.defjvp
def _i1e_over_x_jvp(x: Any, t: Any) -> tuple[jax.Array, jax.Array]:
    return _i1e_over_x(*x), (_i2e_over_x(*x) - _side(*x) * _i1e_over_x(*x)) * t[0]


def _i2e_over_x(x: jax.Array) -> jax.Array:
    """I_2 = I_0 - 2 I_1 / x, which cancels for small x: there by its series, DLMF 10.25.2."""
    small = jnp.abs(x) < 2
    terms = [0.5 / (4**k * math.factorial(k) * math.factorial(k + 2)) for k in range(12)]
    near = jnp.where(small, x, 0)
    series = jnp.polyval(jnp.asarray([t / 2 for t in terms[::-1]], x.dtype), near * near)
    far = jnp.where(small, 2, x)
    return jnp.where(
        small,
        near * series * jnp.exp(-jnp.abs(near)),
        (_i0e(far) - 2 * _i1e_over_x(far)) / far,
    )


_RIGHT: dict[str, Function] = {
    "lgamma": _lgamma,
    "digamma": _digamma,
    "bessel_i0e": _i0e,
    "bessel_i1e": _i1e,
}
