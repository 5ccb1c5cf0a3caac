"""Looking into traced functions."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core


def subjaxprs(params: dict[str, Any]) -> Iterator[core.ClosedJaxpr | core.Jaxpr]:
    """Yield the programs inside an equation's parameters (of jit, scan, cond, ...)."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr | core.Jaxpr):
                yield item


def equations(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield every equation of a program, those of inner programs included."""
    inner = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    for equation in inner.eqns:
        yield equation
        yield from equations_inside(equation.params)


def equations_inside(params: dict[str, Any]) -> Iterator[core.JaxprEqn]:
    """Yield every equation of the programs inside an equation's parameters."""
    for sub in subjaxprs(params):
        yield from equations(sub)


def widest(traced: core.ClosedJaxpr) -> int:
    """Return the number of entries of the largest intermediate."""
    return max(
        (
            math.prod(getattr(variable.aval, "shape", ()))
            for equation in equations(traced)
            for variable in equation.outvars
        ),
        default=1,
    )


def custom_rule_names(traced: core.ClosedJaxpr) -> list[str]:
    """Return the names of the functions with custom derivative rules that a program calls."""
    names = []
    for equation in equations(traced):
        if equation.primitive.name.startswith("custom_"):
            inner = equation.params.get("call_jaxpr") or equation.params.get("fun_jaxpr")
            name = equation.params.get("name") or getattr(
                getattr(inner, "jaxpr", inner), "debug_info", None
            )
            name = getattr(name, "func_name", name) or "a function"
            kind = "custom_jvp" if "jvp" in equation.primitive.name else "custom_vjp"
            names.append(f"'{name}' ({kind})")
    return sorted(set(names))
