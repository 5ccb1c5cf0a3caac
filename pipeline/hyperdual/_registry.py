"""Which rule a primitive has."""

from collections.abc import Callable, Collection
from typing import Any

from jax.extend import core

from ._accumulation import Accumulation, Irreversible
from ._active import Active
from ._equation import Equation, RuleError, general
from ._reason import reason

# From an equation to its results, each `Active` if it depends on the inputs.
Rule = Callable[[Equation], list[Any]]

RULES: dict[str, Rule] = {}
# Of a primitive's rule: the parameters that it takes into account. Not listed: all that there are.
PARAMETERS: dict[str, frozenset[str]] = {}

_IN_PLACE = (
    "arrays that are changed in place (jax.new_ref) are not derived; return new ones instead, by "
    "`.at[...].set`, or as the carry of a loop"
)


def register(*names: str, parameters: Collection[str] | None = None) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of the primitives with these names.

    Args:
        names: of the primitives.
        parameters: all those that the rule takes into account; where an equation has another, such
            as one that a later JAX adds, the general rule does it. Left out, the rule is taken to
            know every parameter that there may be.
    """

    def enter(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
            PARAMETERS.pop(name, None)
            if parameters is not None:
                PARAMETERS[name] = frozenset(parameters)
        return rule

    return enter


def apply_rule(eqn: core.JaxprEqn, operands: list[Any], accumulation: Accumulation) -> list[Any]:
    """Interpret one equation.

    Raises:
        RuleError: if the primitive cannot be differentiated, naming it and its place.
    """
    equation = Equation(eqn, operands, accumulation)
    if not any(isinstance(operand, Active) for operand in operands) or not any(equation.inexact):
        return equation.apply(*equation.values)
    accumulation.step += 1
    name = eqn.primitive.name
    rule = RULES.get(name, general)
    if name in PARAMETERS and not PARAMETERS[name].issuperset(eqn.params):
        rule = general
    try:
        return rule(equation)
    except (RuleError, Irreversible):
        raise
    except Exception as error:
        changes = any(type(v.aval).__name__ == "AbstractRef" for v in (*eqn.invars, *eqn.outvars))
        cause = _IN_PLACE if changes else reason(error)
        raise RuleError(
            f"cannot differentiate {equation.title()} twice, at {equation.place()}: {cause}"
        ) from error
