"""The walk over a traced program, and the methods made of it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from ._accumulation import Accumulation, Irreversible, Node
from ._active import Active, whole
from ._registry import apply_rule
from ._tangent import dense, flatten, identity

Function = Callable[[jax.Array], jax.Array]


def hyperdual(fn: Function, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Forward accumulation: value, J and D carried together (1 + 2k passes).

    Structure that is known is not computed: no D before the first nonlinearity, no J beyond the
    directions that an intermediate depends on.
    """
    return _accumulated(fn, z, math.inf)


def hyperdual_adjoint(fn: Function, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Adjoint accumulation: one sweep with J, one reverse sweep for each output (1 + k + m passes).

    A step without reverse mode (`while`) is passed in forward accumulation, with all before it.
    """
    return _accumulated(fn, z, 0)


def hyperdual_columns(fn: Function, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Forward accumulation in which a dense layer is one product, W^T [value, J, D].

    For a batch with the rows as the last axis of every intermediate (see `_rows_last`): these
    columns are then as many as fill vector registers, whatever the width of the layer.
    """
    return _accumulated(fn, z, math.inf, columns=True)


def laplacian(
    fn: Function, z: jax.Array, adjoint: bool = False, columns: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return value (m,), J (m, k) and sum_i D[j, i], shape (m,), without the single D[j, i]."""
    cut = 0 if adjoint else math.inf
    value, jacobian, trace = _accumulated(fn, z, cut, laplacian=True, columns=columns)
    return value, jacobian, trace[:, 0]


def _accumulated(
    fn: Function, z: jax.Array, cut: float, laplacian: bool = False, columns: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array]:
    closed = jax.make_jaxpr(fn)(z)
    m = closed.out_avals[0].shape[0]
    while True:
        accumulation = Accumulation(m, cut, laplacian, columns)
        try:
            start = whole(Node(z, identity(z)))
            (result,) = interpret(closed.jaxpr, closed.consts, [start], accumulation)
            if not isinstance(result, Active):
                zeros = jnp.zeros((m, z.size), result.dtype)
                return result, zeros, zeros[:, :1] if laplacian else zeros
            return _finished(result.as_node(accumulation), accumulation, z.size)
        except Irreversible as stop:
            cut = stop.step + 1


def _finished(
    node: Node, accumulation: Accumulation, directions: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    m, dtype = accumulation.outputs, node.value.dtype
    jacobian = flatten(node.jacobian).T
    if accumulation.forward:
        hessian_diag = None if node.hessian_diag is None else flatten(node.hessian_diag).T
    else:
        _, hessian_diag = accumulation.reverse([(node, jnp.eye(m, dtype=dtype))])
    if hessian_diag is None:
        hessian_diag = jnp.zeros((m, 1 if accumulation.laplacian else directions), dtype)
    return node.value, jacobian, hessian_diag


def interpret(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    operands: Sequence[Any],
    accumulation: Accumulation,
) -> list[Any]:
    """Walk a program; arrays that depend on the inputs are `Active`, the others plain.

    Raises:
        RuleError: where a primitive cannot be differentiated, naming it and its place.
        Irreversible: see `Accumulation`.
    """
    environment: dict[core.Var, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else environment[atom]

    environment.update(zip(jaxpr.constvars, consts, strict=True))
    environment.update(zip(jaxpr.invars, operands, strict=True))
    for equation in jaxpr.eqns:
        results = apply_rule(equation, [read(atom) for atom in equation.invars], accumulation)
        environment.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def as_triple(operand: Any, accumulation: Accumulation) -> tuple[Any, Any, Any]:
    """Return value, J and D as dense arrays, (k, *S); None where they are zero."""
    if not isinstance(operand, Active):
        return operand, None, None
    node = operand.as_node(accumulation)
    carried = node.hessian_diag if accumulation.forward else None
    return node.value, flatten(node.jacobian), None if carried is None else flatten(carried)


def from_triple(triple: tuple[Any, Any, Any]) -> Any:
    """Return the inverse of `as_triple`."""
    value, jacobian, hessian_diag = triple
    if jacobian is None:
        return value
    return whole(
        Node(
            value,
            dense(jacobian),
            None if hessian_diag is None else dense(hessian_diag),
            curved=hessian_diag is not None,
        )
    )
