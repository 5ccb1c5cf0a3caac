"""A program for rows, traced with one of them, as a function of a point."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

_CALLS = ("jit", "pjit")


def point_function(traced: core.ClosedJaxpr) -> Callable[[jax.Array], list[jax.Array]]:
    """Return the function of a point that a traced program is.

    Its constants are NumPy arrays. A product with the one row, as of a dense layer, becomes one
    with a vector: the axis of one row costs up to two fifths of the rate of what is derived.

    Args:
        traced: of a point (n,) to some arrays.
    """
    constants = [np.asarray(constant) for constant in traced.consts]

    def function(x: jax.Array) -> list[jax.Array]:
        point = jnp.asarray(x, traced.in_avals[0].dtype)
        return _evaluated(traced.jaxpr, list(map(jnp.asarray, constants)), [point])

    return function


def _evaluated(jaxpr: core.Jaxpr, constants: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *operands), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        results = _results(equation, list(map(read, equation.invars)))
        values |= zip(equation.outvars, results, strict=True)
    return list(map(read, jaxpr.outvars))


def _results(equation: core.JaxprEqn, operands: list[Any]) -> list[Any]:
    if _is_product_of_a_row(equation):
        (left, right), _ = equation.params["dimension_numbers"]
        product = lax.dot_general(
            operands[0][0],
            operands[1],
            ((tuple(axis - 1 for axis in left), right), ((), ())),
            precision=equation.params["precision"],
            preferred_element_type=equation.params["preferred_element_type"],
        )
        return [product[None]]
    if equation.primitive.name in _CALLS:
        program = equation.params["jaxpr"]
        if any(map(_is_product_of_a_row, program.eqns)):
            return _evaluated(program.jaxpr, program.consts, operands)
    parameters = equation.primitive.get_bind_params(equation.params)
    results = equation.primitive.bind(*operands, **parameters)
    return list(results) if equation.primitive.multiple_results else [results]


def _is_product_of_a_row(equation: core.JaxprEqn) -> bool:
    if equation.primitive.name != "dot_general":
        return False
    (left, _), (batch, _) = equation.params["dimension_numbers"]
    shape = _type(equation.invars[0]).shape
    return not batch and len(shape) > 1 and shape[0] == 1 and 0 not in left


def rounds(traced: core.ClosedJaxpr) -> bool:
    """Tell whether a program makes shorter numbers of float64 somewhere."""
    return any(
        equation.primitive.name == "convert_element_type"
        and str(_type(equation.invars[0]).dtype) == "float64"
        and str(_type(equation.outvars[0]).dtype) in ("float32", "float16", "bfloat16")
        for equation in _equations(traced.jaxpr)
    )


def _type(atom: Any) -> Any:
    return atom.aval


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Return all equations of a program, with those of the programs in it."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for value in parameter if isinstance(parameter, tuple | list) else (parameter,):
                if isinstance(value, core.ClosedJaxpr):
                    yield from _equations(value.jaxpr)
                elif isinstance(value, core.Jaxpr):
                    yield from _equations(value)
