"""A program that was traced in float32, evaluated in float64.

Its constants, and every type in it, become float64 (complex64 becomes complex128); it is the same
program otherwise. A program cannot always be traced in float64 instead: code that names float32
fails there (a convolution with float32 weights, a scan with a float32 carry), and code that draws
random numbers draws others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend import core

from ._jaxpr import equations, subjaxprs, walk

_WIDE = {"float32": np.dtype("float64"), "complex64": np.dtype("complex128")}
# Programs that are walked into, as if their equations stood here. A rule of a function's own is of
# no use any more: derivatives were taken before.
_CALLS = (
    *("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call"),
)
# What depends on how a number is stored, or is code that expects the types that it was traced with.
_OF_ITS_TYPE = (
    *("bitcast_convert_type", "nextafter", "pure_callback", "io_callback", "ffi_call"),
    "pallas_call",
)
_RANDOM = ("random_", "threefry", "rng_")


@dataclass(frozen=True)
class _Operand:
    """A value in the walk.

    Attributes:
        array: the value; in float64 unless it is `drawn`.
        depends: whether it depends on the program's arguments.
        drawn: whether it comes of random numbers alone, and is kept in the type that it was traced
            in: the same bits make another number in float64.
    """

    array: Any
    depends: bool = False
    drawn: bool = False


def widened(traced: core.ClosedJaxpr) -> Callable[..., list[Any]]:
    """Return a function of float64 arguments that evaluates a program traced in float32.

    To be called in JAX's 64-bit mode. An equation that cannot be evaluated in float64 is evaluated
    in its own types, and its results are converted.
    """

    def function(*arguments: Any) -> list[Any]:
        operands = [_Operand(argument, depends=True) for argument in arguments]
        results = _walk(traced.jaxpr, traced.consts, operands)
        return [_wide(result.array) for result in results]

    return function


def draws(traced: core.ClosedJaxpr | core.Jaxpr) -> bool:
    """Tell whether a program draws random numbers."""
    return any(eqn.primitive.name.startswith(_RANDOM) for eqn in equations(traced))


def narrows(traced: core.ClosedJaxpr | core.Jaxpr) -> bool:
    """Tell whether a program rounds float64 to float32 somewhere."""
    return any(
        eqn.primitive.name == "convert_element_type"
        and _dtype(eqn.invars[0]) in map(str, _WIDE.values())
        and _dtype(eqn.outvars[0]) in _WIDE
        for eqn in equations(traced)
    )


def _dtype(atom: Any) -> str:
    return str(atom.aval.dtype)


def _walk(jaxpr: core.Jaxpr, consts: Sequence[Any], operands: Sequence[_Operand]) -> list[_Operand]:
    return walk(jaxpr, consts, operands, _apply, _Operand)


def _apply(eqn: core.JaxprEqn, operands: Sequence[_Operand]) -> list[_Operand]:
    depends = any(operand.depends for operand in operands)
    name = eqn.primitive.name
    if not depends and (any(operand.drawn for operand in operands) or _eqn_draws(eqn)):
        return [_Operand(array, drawn=True) for array in _as_traced(eqn, operands)]
    if name in _CALLS:
        inner = next(
            eqn.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in eqn.params
        )
        if isinstance(inner, core.ClosedJaxpr):
            return _walk(inner.jaxpr, inner.consts, operands)
        return _walk(inner, (), operands)
    if name in _OF_ITS_TYPE or name.startswith(_RANDOM):
        arrays = _as_traced(eqn, operands)
    else:
        try:
            wide = [_wide(operand.array) for operand in operands]
            arrays = _bind(eqn, wide, {key: _widened(v) for key, v in eqn.params.items()})
        except Exception:  # each primitive raises what it likes about types that it cannot take
            arrays = _as_traced(eqn, operands)
    return [_Operand(_wide(array), depends) for array in arrays]


def _eqn_draws(eqn: core.JaxprEqn) -> bool:
    if eqn.primitive.name.startswith(_RANDOM):
        return True
    return any(draws(program) for program in subjaxprs(eqn.params))


def _as_traced(eqn: core.JaxprEqn, operands: Sequence[_Operand]) -> list[Any]:
    """Return the results of an equation in the types that it was traced with."""
    arrays = [
        _converted(operand.array, getattr(atom.aval, "dtype", None))
        for operand, atom in zip(operands, eqn.invars, strict=True)
    ]
    return _bind(eqn, arrays, eqn.params)


def _bind(eqn: core.JaxprEqn, arrays: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    results = eqn.primitive.bind(*arrays, **eqn.primitive.get_bind_params(params))
    return list(results) if eqn.primitive.multiple_results else [results]


def _converted(array: Any, dtype: Any) -> Any:
    if dtype is None or getattr(array, "dtype", None) == dtype:
        return array
    return jax.lax.convert_element_type(array, dtype)


def _wide(array: Any) -> Any:
    dtype = _WIDE.get(str(getattr(array, "dtype", "")))
    return array if dtype is None else jax.lax.convert_element_type(array, dtype)


def _widened(value: Any) -> Any:
    """Return a parameter of an equation with the types in it, and in its programs, widened."""
    if isinstance(value, core.ClosedJaxpr):
        return _widened_program(value)
    if isinstance(value, core.Jaxpr):
        program = _widened_program(core.ClosedJaxpr(value, ()))
        if program.consts:
            raise TypeError("an open program has no place for constants")
        return program.jaxpr
    if isinstance(value, tuple | list):
        items = [_widened(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return _WIDE.get(str(np.dtype(value)), value)
    return value


def _widened_program(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    results = [_wide_type(aval) for aval in program.out_avals]

    def function(*arguments: Any) -> list[Any]:
        arrays = widened(program)(*arguments)
        # A loop's state must come out in exactly the type that it went in with.
        return [_converted(a, r.dtype) for a, r in zip(arrays, results, strict=True)]

    return jax.make_jaxpr(function)(*map(_wide_type, program.in_avals))


def _wide_type(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, _WIDE.get(str(aval.dtype), aval.dtype))
