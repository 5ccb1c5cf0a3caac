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
            math.prod(_shape(variable))
            for equation in equations(traced)
            for variable in equation.outvars
        ),
        default=1,
    )


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())  # of a token, none


def ragged(traced: core.ClosedJaxpr, lanes: int) -> bool:
    """Tell whether most work of a program's products is in dense layers of awkward widths.

    That is, in products of a vector and a matrix whose results are no multiple of `lanes` long.
    """
    awkward, total = 0, 0
    for equation in equations(traced):
        if equation.primitive.name not in ("dot_general", "conv_general_dilated"):
            continue
        left, right, result = (_shape(v) for v in (*equation.invars, *equation.outvars))
        if {len(left), len(right)} == {1, 2}:
            work = math.prod(left if len(left) == 2 else right)
            awkward += work if result[0] % lanes else 0
        else:
            # Each entry of the result sums over what the operands have in common, about.
            work = math.isqrt(math.prod(left) * math.prod(right) * math.prod(result))
        total += work
    return 2 * awkward > total


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
