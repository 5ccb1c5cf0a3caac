"""Looking into traced functions."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
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
        for sub in subjaxprs(equation.params):
            yield from equations(sub)


def custom_rule_names(fn: Callable, *args: Any) -> list[str]:
    """Return the names of the functions with custom derivative rules that `fn` calls."""
    names = []
    for equation in equations(jax.make_jaxpr(fn)(*args)):
        if equation.primitive.name.startswith("custom_"):
            inner = equation.params.get("call_jaxpr") or equation.params.get("fun_jaxpr")
            name = equation.params.get("name") or getattr(
                getattr(inner, "jaxpr", inner), "debug_info", None
            )
            name = getattr(name, "func_name", name) or "a function"
            kind = "custom_jvp" if "jvp" in equation.primitive.name else "custom_vjp"
            names.append(f"'{name}' ({kind})")
    return sorted(set(names))
