"""Primitives that call a function: jit, checkpoint, custom_jvp, custom_vjp.

Plain calls are walked into. A function with a derivative rule of its own is differentiated by that
rule, never by its body.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from .._custom_vjp import NotLinearError, as_custom_jvp
from .._equation import Equation, RuleError, general
from .._interpret import interpret
from .._jaxpr import equations
from .._reason import first_line
from .._registry import register
from . import elementwise

_ENTRYWISE = {*elementwise.ENTRYWISE, "jit", "closed_call", "custom_jvp_call"}


@register("jit", "closed_call", "remat2", "custom_vmap_call")
def call(equation: Equation) -> list[Any]:
    """Call a function: walk into its program, as if it stood here.

    Checkpoints, which say what JAX keeps for its reverse mode, change nothing; nor does a rule for
    batches (`custom_vmap`), which is to return what the function does.

    >>> derive(lambda x: jax.jit(lambda y: y**2)(x) + jax.checkpoint(jnp.exp)(x), [0])
    value (1,)    [1]
    J     (1, 1)  [[1]]
    D     (1, 1)  [[3]]

    Operands: the function's. Parameters: jaxpr (or call_jaxpr, call), the function. What says how
    it is compiled changes no result: name, inline, keep_unused, donated_invars, in_shardings,
    out_shardings, in_layouts, out_layouts, ctx_mesh, compiler_options_kvs; and of a checkpoint
    policy, prevent_cse, differentiated; of a `custom_vmap` rule, in_tree, out_tree.
    https://docs.jax.dev/en/latest/_autosummary/jax.jit.html
    https://docs.jax.dev/en/latest/_autosummary/jax.checkpoint.html
    """
    params = equation.params
    inner: Any = next(params[name] for name in ("jaxpr", "call_jaxpr", "call") if name in params)
    jaxpr, consts = (
        (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
    )
    return interpret(jaxpr, consts, equation.operands, equation.accumulation)


@register("custom_jvp_call")
def custom_jvp(equation: Equation) -> list[Any]:
    """Call a function with a rule of its own for the jvp: T(x, t) for J, its derivative for D.

    A rule that acts entry by entry joins the scalar series as an elementwise primitive does. The
    function here is x^2, but its rule says that the slope is 3 x, so the second derivative is 3:

    >>> @jax.custom_jvp
    ... def square(x):
    ...     return x * x
    >>> square.defjvps(lambda t, value, x: 3 * x * t)
    >>> derive(square, [5])
    value (1,)    [25]
    J     (1, 1)  [[15]]
    D     (1, 1)  [[3]]

    Operands: the function's. Parameters: call_jaxpr, the function; jvp_jaxpr_fun, its rule;
    num_consts, symbolic_zeros.
    https://docs.jax.dev/en/latest/_autosummary/jax.custom_jvp.html
    """
    active = [equation.operands[at] for at in equation.active]
    if all(operand.node is active[0].node for operand in active):
        inside = _entrywise(equation)
        if inside is not None:
            return [elementwise.series(equation, active, selects="select_n" in inside)]
    return general(equation)


def _entrywise(equation: Equation) -> set[str] | None:
    """Return what the rule and its derivative are made of, if only of what acts entry by entry.

    On arrays of one shape, that is; None if anything in them does not.
    """
    shapes = {jnp.shape(value) for value in equation.values} - {()}
    results = equation.result_types
    active = [equation.values[at] for at in equation.active]
    if len(results) != 1 or not all(
        value.shape == results[0].shape and jnp.issubdtype(value.dtype, jnp.floating)
        for value in active
    ):
        return None
    if len(shapes) > 1:
        return None

    def rule(*values: Any) -> Any:
        return jax.jvp(equation.apply_active, values, values)[1]

    # Of the derivative: functions that the rule calls may have rules of their own.
    traced = jax.make_jaxpr(lambda *values: jax.jvp(rule, values, values))(*active)
    inside = list(equations(traced))
    if not all(
        eqn.primitive.name in _ENTRYWISE
        or (eqn.primitive.name == "broadcast_in_dim" and _is_scalar(eqn.invars[0]))
        for eqn in inside
    ):
        return None
    return {eqn.primitive.name for eqn in inside}


def _is_scalar(atom: Any) -> bool:
    return atom.aval.shape == ()


@register("custom_vjp_call")
def custom_vjp(equation: Equation) -> list[Any]:
    """Call a function with a rule of its own for the vjp: the rule's transpose is the derivative.

    The backward rule is linear in the cotangent, so JAX can transpose it: that is a rule for the
    jvp, as of a `custom_jvp` (see `_custom_vjp`). JAX itself has no forward mode here. Again x^2
    with a slope of 3 x:

    >>> @jax.custom_vjp
    ... def square(x):
    ...     return x * x
    >>> square.defvjp(lambda x: (x * x, x), lambda x, cotangent: (3 * x * cotangent,))
    >>> derive(square, [5])
    value (1,)    [25]
    J     (1, 1)  [[15]]
    D     (1, 1)  [[3]]

    Operands: the function's. Parameters: call_jaxpr, the function; fwd_jaxpr_thunk and bwd, its
    rule; num_consts, out_trees, symbolic_zeros.
    https://docs.jax.dev/en/latest/_autosummary/jax.custom_vjp.html
    """
    closed = jax.make_jaxpr(as_custom_jvp(equation.eqn))(*equation.values)
    try:
        return interpret(closed.jaxpr, closed.consts, equation.operands, equation.accumulation)
    except RuleError as error:  # of a program that is not the user's
        raise NotLinearError(first_line(error.__cause__ or error)) from error
