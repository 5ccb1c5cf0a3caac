"""The walk over a traced program."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax.extend import core

from ._accumulation import Accumulation, Node
from ._active import Active, as_active
from ._jaxpr import walk
from ._registry import apply_rule
from ._tangent import dense, flatten


class HyperDual(NamedTuple):
    """One array of shape S with its derivatives, all dense, as the state of a loop carries them.

    Attributes:
        value: shape S.
        jacobian: shape (k, *S); None: zero.
        hessian_diag: likewise, or (1, *S) for the Laplacian; None: zero.
    """

    value: Any
    jacobian: Any = None
    hessian_diag: Any = None


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
    return walk(jaxpr, consts, operands, lambda eqn, values: apply_rule(eqn, values, accumulation))


def as_hyperdual(operand: Any, accumulation: Accumulation) -> HyperDual:
    """Return an operand with its derivatives as dense arrays."""
    if not isinstance(operand, Active):
        return HyperDual(operand)
    node = operand.as_node(accumulation)
    carried = node.hessian_diag if accumulation.forward else None
    return HyperDual(
        node.value, flatten(node.jacobian), None if carried is None else flatten(carried)
    )


def from_hyperdual(number: HyperDual) -> Any:
    """Return the inverse of `as_hyperdual`: an `Active`, or a plain array if J is zero."""
    value, jacobian, hessian_diag = number
    if jacobian is None:
        return value
    return as_active(
        Node(
            value,
            dense(jacobian),
            None if hessian_diag is None else dense(hessian_diag),
            curved=hessian_diag is not None,
        )
    )
