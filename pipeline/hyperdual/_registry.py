"""Which rule a primitive has."""

from collections.abc import Callable
from typing import Any

from jax.extend import core

from ._accumulation import Accumulation, Irreversible
from ._active import Active
from ._equation import RuleError, Site, general

Rule = Callable[[Site], list[Any]]

RULES: dict[str, Rule] = {}


def register(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of the primitives with these names."""

    def enter(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
        return rule

    return enter


def apply_rule(
    equation: core.JaxprEqn, operands: list[Any], accumulation: Accumulation
) -> list[Any]:
    """Interpret one equation.

    Raises:
        RuleError: if the primitive cannot be differentiated, naming it and its place.
    """
    site = Site(equation, operands, accumulation)
    if not any(isinstance(operand, Active) for operand in operands) or not any(site.smooth):
        return site.apply(*site.values)
    accumulation.step += 1
    rule = RULES.get(equation.primitive.name, general)
    try:
        return rule(site)
    except (RuleError, Irreversible):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuleError(
            f"cannot differentiate {site.what()} twice, at {site.place()}: "
            f"{type(error).__name__}: {reason}; register a rule for it, or use another method"
        ) from error
