"""Which rule a primitive has."""

from collections.abc import Callable
from typing import Any

from jax.extend import core

from ._accumulation import Accumulation, Irreversible
from ._active import Active
from ._equation import Equation, RuleError, general
from ._reason import reason

# From an equation to its results, each `Active` if it depends on the inputs.
Rule = Callable[[Equation], list[Any]]

RULES: dict[str, Rule] = {}

_IN_PLACE = (
    "arrays that are changed in place (jax.new_ref) are not derived; return new ones instead, by "
    "`.at[...].set`, or as the carry of a loop"
)


def register(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of the primitives with these names."""

    def enter(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
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
    rule = RULES.get(eqn.primitive.name, general)
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
