"""Equations that JAX has wrong, put right before any method sees a program.

So every method has them right, and the reference that methods are verified against, too. Seen to be
wrong in JAX 0.10.2 or 0.12, and right here with any version:

* `lgamma`, `digamma` and `polygamma` of a negative argument. JAX takes the derivative of `digamma`
  from the Hurwitz zeta function, which does not hold there (1e18 for 15 at -10.3).
* `bessel_i0e` and `bessel_i1e` at 0, where their slope jumps. JAX takes the middle of it, but for
  the absolute value in i0(x) = exp(|x|) i0e(x) the right one: i0' at 0 is 1, and should be 0. In
  0.12 `i0` and `i1` have rules of JAX's own, which cancel near 0 (1e-12 beside 1).
* `spence` at 1, where JAX has a value without a slope; above 1 its reverse mode gives NaN.
* `log_ndtr` in the lower tail: three terms of a series, and a difference that cancels.
* `betaln` of two equal arguments, and of arguments from 8 to 200 in float64.
* `linear_call`, which has no rule for batches, is what it calls, for every method.
* Products of matrices with a result of another type, in a batch on a CPU: XLA refuses some of
  bfloat16 with a result in float32, as where one layer follows another.

A function that JAX computes in many steps is known by its name in the place that they come from;
its derivatives, where the user's function takes them, are left to JAX.
Inside functions with derivative rules of the user's own the rule is taken as it is. What is left to
JAX is listed in the README of this folder.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from . import _special_functions as right
from ._jaxpr import bind, equations, walk

Function = Callable[..., Any]

# Constants of at most so many entries are followed, to know the order of a polygamma function.
_FOLLOWED = 1 << 12
# An order that is not known may be any of so many at most, for which the function is taken.
_ORDERS = 8
_JAX = str(Path(jax.__file__).parent)

_PRIMITIVES: dict[str, Function] = {
    "lgamma": right.lgamma,
    "digamma": right.digamma,
    "bessel_i0e": right.i0e,
    "bessel_i1e": right.i1e,
}
# Functions of JAX's with derivative rules of their own, by name; None: what they call is right.
_WITH_RULES: dict[str, Function | None] = {
    "log_ndtr": right.log_ndtr,
    "i0_impl": None,
    "_i1": None,
}
# Up to this larger argument betaln is the sum of logarithms of gamma functions; JAX has 8, and from
# there an expansion that is off by 1e-6 in the value and 1e-5 in D (`algdiv`, with h / (1 + h) for
# 1 / (1 + h)), by 1e-10 at 50, and by rounding from here.
_BETALN_LIMIT = 200


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
    return any(_replacement(eqn) is not None for eqn in equations(program))


def _evaluate(closed: core.ClosedJaxpr, operands: Sequence[Any]) -> list[Any]:
    return walk(closed.jaxpr, closed.consts, operands, _apply)


def _replacement(eqn: core.JaxprEqn) -> Function | None:
    """Return what gives the right results of an equation, from the equation and its operands."""
    name = eqn.primitive.name
    if name in _PRIMITIVES:
        return lambda eqn, x: [_PRIMITIVES[name](x)]
    if name == "polygamma":
        return _polygamma
    if name == "linear_call":
        return lambda eqn, *operands: _evaluate(eqn.params["callee"], operands)
    if name == "custom_jvp_call":
        return _function_with_rule(eqn)
    if name == "jit" and _is_spence(eqn):
        return _spence
    if name in ("min", "max", "lt") and _comes_from(eqn, "betaln"):
        return _betaln_step
    if name == "dot_general" and _changes_type(eqn) and jax.default_backend() == "cpu":
        return _product_in_one_type
    if name in ("dot_general", "conv_general_dilated") and _is_rough(eqn):
        return _at_highest_precision
    return None


def _apply(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
    name, params = eqn.primitive.name, eqn.params
    replacement = _replacement(eqn)
    if replacement is not None:
        return replacement(eqn, *values)
    if name == "jit":
        return _evaluate(params["jaxpr"], values)
    if not name.startswith("custom_"):
        params = {key: _in_parameter(value) for key, value in params.items()}
    constant = name in ("broadcast_in_dim", "convert_element_type", "reshape") and not any(
        isinstance(value, jax.core.Tracer) or np.size(value) > _FOLLOWED for value in values
    )
    shape = getattr(eqn.outvars[0].aval, "shape", ())
    if constant and math.prod(shape) <= _FOLLOWED:
        with jax.ensure_compile_time_eval():
            return bind(eqn, values, params)
    return bind(eqn, values, params)


def _comes_from(eqn: core.JaxprEqn, function: str) -> bool:
    """Tell whether a function of this name in JAX's `scipy` made an equation, itself."""
    traceback = eqn.source_info.traceback
    frames: list[Any] = [] if traceback is None else list(traceback.frames)
    for frame in frames:
        if frame.file_name.startswith(_JAX) and "scipy" in frame.file_name[len(_JAX) :]:
            return bool(frame.function_name == function)
    return False


def _function_with_rule(eqn: core.JaxprEqn) -> Function | None:
    inner = eqn.params["call_jaxpr"]
    program = getattr(inner, "jaxpr", inner)
    name, _, place = (program.debug_info.func_src_info or "").partition(" at ")
    if name not in _WITH_RULES or not place.startswith(_JAX):
        return None
    function = _WITH_RULES[name]
    if function is None:
        closed = core.ClosedJaxpr(program, getattr(inner, "consts", ()))
        return lambda eqn, *operands: _evaluate(closed, operands)
    return lambda eqn, *operands: _with_axes(eqn, function, operands[-1])


def _is_spence(eqn: core.JaxprEqn) -> bool:
    """Tell whether an equation is spence itself, and not a part of a derivative of it.

    It chooses among three forms, by three conditions for each entry of x. Parts of a derivative
    have the same name, but more results, or what was kept of the first pass for their operands.
    """
    if eqn.params["name"] != "_piecewise" or len(eqn.outvars) != 1 or len(eqn.invars) < 2:
        return False
    atoms: list[Any] = [*eqn.invars[:2], *eqn.outvars]
    x, conditions, result = (atom.aval for atom in atoms)
    return (
        (x.dtype, x.size) == (result.dtype, result.size)
        and conditions.dtype == bool
        and conditions.size == 3 * x.size
        and _comes_from(eqn, "_spence")
    )


def _spence(eqn: core.JaxprEqn, x: Any, *_: Any) -> list[Any]:
    return _with_axes(eqn, right.spence, x)


def _with_axes(eqn: core.JaxprEqn, function: Function, x: Any) -> list[Any]:
    """Return a function of x, entry by entry, in the order of axes of an equation's result.

    Under `vmap` along another axis than the first JAX turns the result. The order is found by
    evaluating the equation at numbers that are all different.

    Raises:
        ValueError: if there is none.
    """
    programs = [value for value in eqn.params.values() if hasattr(value, "eqns")]
    if not any(
        inner.primitive.name == "transpose" for each in programs for inner in equations(each)
    ):
        return [function(x)]
    with jax.ensure_compile_time_eval():
        probe = jnp.linspace(0.5, 0.75, x.size, dtype=x.dtype).reshape(x.shape)
        types: list[Any] = [atom.aval for atom in eqn.invars[1:]]
        others = [jnp.zeros(aval.shape, aval.dtype) for aval in types]
        (result,) = bind(eqn, [probe, *others], eqn.params)
        for axes in itertools.permutations(range(x.ndim)):
            turned = jnp.transpose(function(probe), axes)
            if turned.shape == result.shape and jnp.allclose(turned, result, rtol=0.05 / x.size):
                return [jnp.transpose(function(x), axes)]
    raise ValueError(f"the axes of {eqn.primitive.name} are in no order that is known")


def _betaln_step(eqn: core.JaxprEqn, a: Any, b: Any) -> list[Any]:
    """Do one of three steps of JAX's `betaln`: the smaller argument, the larger, how large it is.

    `min` and `max` of equal arguments have the mean of both slopes, and no second derivative.
    """
    if eqn.primitive.name == "lt":
        limit = _BETALN_LIMIT if jnp.result_type(a) == jnp.float64 else b
        return [a < limit]
    return [jnp.where(a <= b, a, b) if eqn.primitive.name == "min" else jnp.where(a <= b, b, a)]


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


def _changes_type(eqn: core.JaxprEqn) -> bool:
    """Tell whether a product of floats has them in several types, and no algorithm for these."""
    types = {str(dtype) for dtype in _dtypes(eqn)}
    precision = eqn.params["precision"]
    each = precision if isinstance(precision, tuple) else (precision,)
    return (
        len(types) > 1
        and all(jnp.issubdtype(dtype, jnp.floating) for dtype in _dtypes(eqn))
        and all(item is None or isinstance(item, jax.lax.Precision) for item in each)
    )


def _dtypes(eqn: core.JaxprEqn) -> list[Any]:
    types: list[Any] = [atom.aval for atom in (*eqn.invars, *eqn.outvars)]
    return [aval.dtype for aval in types]


def _product_in_one_type(eqn: core.JaxprEqn, left: Any, right: Any) -> list[Any]:
    """Multiply in the widest of the types: products of narrower numbers are exact in it."""
    *_, narrow = dtypes = _dtypes(eqn)
    wide = jnp.result_type(*dtypes)
    operands = [jax.lax.convert_element_type(operand, wide) for operand in (left, right)]
    (product,) = bind(eqn, operands, {**eqn.params, "preferred_element_type": wide})
    return [jax.lax.convert_element_type(product, narrow)]


def _is_rough(eqn: core.JaxprEqn) -> bool:
    """Tell whether a product of float32 numbers is to be made at less than the highest precision.

    An algorithm that is named is taken as meant.
    """
    precision = eqn.params["precision"]
    each = precision if isinstance(precision, tuple) else (precision,)
    rough = (jax.lax.Precision.DEFAULT, jax.lax.Precision.HIGH)
    return any(item in rough for item in each) and set(map(str, _dtypes(eqn))) == {"float32"}


def _at_highest_precision(eqn: core.JaxprEqn, left: Any, right: Any) -> list[Any]:
    highest = (jax.lax.Precision.HIGHEST,) * 2
    return bind(eqn, [left, right], {**eqn.params, "precision": highest})


def _polygamma(eqn: core.JaxprEqn, order: Any, x: Any) -> list[Any]:
    """Return psi_n(x), where n is known for one of a few orders of all entries.

    Of an order that is computed from a positive argument alone; from a negative one JAX's value is
    wrong, too: NaN.
    """
    orders = () if isinstance(order, jax.core.Tracer) else np.unique(np.asarray(order))
    if not 1 <= len(orders) <= _ORDERS or any(n < 0 or n != int(n) for n in orders):
        spoilt = jnp.where(x < 0, jnp.nan, jnp.zeros_like(x))
        return bind(eqn, [order, x + spoilt], eqn.params)
    result = None
    for n in map(int, orders):
        each = right.polygamma(x, n) if n else right.digamma(x)
        result = each if result is None else jnp.where(order == n, each, result)
    return [result]
