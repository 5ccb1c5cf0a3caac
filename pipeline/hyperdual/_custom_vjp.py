"""Functions with a rule for the vjp alone (`jax.custom_vjp`), as functions with one for the jvp.

JAX has no forward mode for them, and so no second derivative where the rule calls the function
itself, as its documentation does. The backward rule is linear in the cotangent, so it can be
transposed: its transpose is the jvp. For a rule B(r, c) with the residuals r of the forward rule,

    jvp(x, t) = B(r(x), .)^T t,

which can be differentiated in x again, to any order. Loops of unknown length in a backward rule
(`odeint`, Equinox's checkpointed loops) have no transpose: then B is taken entry by entry.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.extend import core

from ._jaxpr import equations, walk
from ._reason import first_line

_NAME = "custom_vjp_call"
# The most equations of a reverse that is taken entry by entry: to trace the second derivative of
# one with 1,500 (diffrax's checkpointed solver) takes minutes.
_LONGEST = 1000
# Calls that change no result: their programs are walked into.
_PLAIN_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}


class NotLinearError(Exception):
    """A backward rule cannot be transposed; the message says why."""


def forward_mode(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return fn, of arrays, with each `custom_vjp` in it as a `custom_jvp`."""

    def rewritten(*arrays: Any) -> Any:
        closed, shapes = jax.make_jaxpr(fn, return_shape=True)(*arrays)
        results = _evaluate(closed.jaxpr, closed.consts, arrays)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return rewritten


def as_custom_jvp(eqn: core.JaxprEqn) -> Callable[..., list[Any]]:
    """Return what a `custom_vjp_call` computes, with the transpose of its rule for the jvp."""

    @jax.custom_jvp
    def called(*values: Any) -> list[Any]:
        return _bind(eqn, values)

    def rule(values: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        return called(*values), _pushed(eqn, values, tangents)

    called.defjvp(rule, symbolic_zeros=True)
    return called


def _pushed(eqn: core.JaxprEqn, values: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Return the tangents of all results, from those of all operands."""
    # By those alone that have one: JAX refuses to differentiate by what a function closes over.
    places = [at for at, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]
    types: list[Any] = [variable.aval for variable in eqn.outvars]
    kept = [at for at, aval in enumerate(types) if jnp.issubdtype(aval.dtype, jnp.inexact)]

    def inexact_results(*inexact: Any) -> list[Any]:
        operands = list(values)
        for at, value in zip(places, inexact, strict=True):
            operands[at] = value
        results = _bind(eqn, operands)
        return [results[at] for at in kept]

    def derivative(*arrays: Any) -> list[Any]:
        results, backward = jax.vjp(inexact_results, *arrays[: len(places)])
        tangents = arrays[len(places) :]
        try:
            (pushed,) = jax.linear_transpose(backward, results)(tangents)
        except Exception as error:  # JAX raises what it likes
            inside = [e.primitive.name for e in equations(jax.make_jaxpr(backward)(results))]
            loops = "while" in inside or _NAME in inside
            if loops and len(inside) > _LONGEST:
                raise NotLinearError(
                    "its backward rule has a loop that JAX cannot transpose, and is too long to be "
                    "taken entry by entry; take one with a forward mode (in diffrax, "
                    "adjoint=ForwardMode())"
                ) from error
            if loops and not any(jnp.iscomplexobj(result) for result in results):
                return _contracted(backward, results, tangents)
            raise NotLinearError(
                "its backward rule is not linear in the cotangent, or not in a way that JAX can "
                f"transpose ({first_line(error)})"
            ) from error
        return pushed

    arrays = [values[at] for at in places] + [tangents[at] for at in places]
    pushed = iter(forward_mode(derivative)(*arrays))
    return [
        next(pushed) if at in kept else np.zeros(aval.shape, jax.dtypes.float0)
        for at, aval in enumerate(types)
    ]


def _contracted(
    backward: Callable[..., Any], results: Sequence[jax.Array], tangents: Sequence[jax.Array]
) -> list[jax.Array]:
    """Return B^T t with a reverse for each entry of the results, where B has no transpose."""
    pushed = []
    for at, result in enumerate(results):
        units = jnp.eye(result.size, dtype=result.dtype).reshape(result.size, *result.shape)
        cotangents = [jnp.zeros((result.size, *other.shape), other.dtype) for other in results]
        cotangents[at] = units
        rows = jax.vmap(backward)(cotangents)
        terms = [
            row.reshape(result.size, tangent.size) @ tangent.reshape(-1)
            for row, tangent in zip(rows, tangents, strict=True)
        ]
        pushed.append(sum(terms, start=jnp.zeros(result.size, result.dtype)).reshape(result.shape))
    return pushed


def _evaluate(jaxpr: core.Jaxpr, consts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    return walk(jaxpr, consts, operands, _apply)


def _apply(eqn: core.JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    name = eqn.primitive.name
    if name == _NAME:
        return list(as_custom_jvp(eqn)(*operands))
    inside = [_inner(value) for value in eqn.params.values()]
    if not any(
        each.primitive.name == _NAME for some in inside for j in some for each in equations(j)
    ):
        return _bind(eqn, operands)
    if name in _PLAIN_CALLS:
        inner = eqn.params[_PLAIN_CALLS[name]]
        jaxpr, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())
        return _evaluate(jaxpr, consts, operands)
    params = {key: _with_forward_mode(value) for key, value in eqn.params.items()}
    return _bind(eqn, operands, params)


def _inner(value: Any) -> list[Any]:
    items = value if isinstance(value, tuple | list) else (value,)
    return [item for item in items if isinstance(item, core.ClosedJaxpr | core.Jaxpr)]


def _with_forward_mode(value: Any) -> Any:
    """Return a parameter with the programs in it rewritten."""
    if isinstance(value, core.ClosedJaxpr):
        types = [
            jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
            for aval in value.in_avals
        ]
        return jax.make_jaxpr(lambda *arrays: _evaluate(value.jaxpr, value.consts, arrays))(*types)
    if type(value) is tuple:
        return tuple(_with_forward_mode(item) for item in value)
    return value


def _bind(
    eqn: core.JaxprEqn, operands: Sequence[Any], params: dict[str, Any] | None = None
) -> list[Any]:
    params = eqn.primitive.get_bind_params(eqn.params if params is None else params)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*operands, **params)
    return list(results) if eqn.primitive.multiple_results else [results]
