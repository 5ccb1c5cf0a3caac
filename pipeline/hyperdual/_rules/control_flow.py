"""cond and while: the derivatives travel with the values as further state.

Inside, J and D are dense arrays. In adjoint accumulation these steps are still passed forward, from
D = 0 at their start, so that what comes out as D is their source; `cond` is then reversed by JAX,
and `while` has no reverse mode.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from .._accumulation import Source
from .._equation import Equation
from .._interpret import HyperDual, as_hyperdual, from_hyperdual, interpret
from .._registry import register
from .._tangent import dense


@register("cond", parameters=("branches", "branches_platforms"))
def cond(equation: Equation) -> list[Any]:
    """Run one of several functions, with its derivatives.

    All branches return the same derivatives: one that lacks a J or D which another has returns
    zeros. (4, 0) takes the first:

    >>> derive(lambda x: lax.cond(x[0] > 1, lambda x: x**2, lambda x: x + 1, x), [4, 0])
    value (2,)    [16, 0]
    J     (2, 2)  [[8, 0], [0, 0]]
    D     (2, 2)  [[2, 0], [0, 2]]

    Operands: the number of the branch, then the functions' operands. Parameters: branches;
    branches_platforms, for which platforms each is, which the number of the branch follows.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.cond.html
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.switch.html
    """
    index, *operands = hyperduals(equation)
    branches = [forward(branch, equation) for branch in equation.params["branches"]]
    shapes = [jax.eval_shape(branch, operands) for branch in branches]
    joint = [joint_shape(of_branches) for of_branches in zip(*shapes, strict=True)]
    results = lax.switch(
        index.value,
        [
            lambda operands, branch=branch: [
                instantiate_zeros(result, shape)
                for result, shape in zip(branch(operands), joint, strict=True)
            ]
            for branch in branches
        ],
        operands,
    )
    return record_hyperduals(equation, results, reversible=True)


@register("while", parameters=("cond_jaxpr", "cond_nconsts", "body_jaxpr", "body_nconsts"))
def while_loop(equation: Equation) -> list[Any]:
    """Repeat a function of values and derivatives while a condition on the values holds.

    It has no reverse mode: in adjoint accumulation it is passed forward, with all before it. Loops
    that `jax.vmap` joined have a condition each. Three squarings, x^8:

    >>> def eighth_power(x):
    ...     body = lambda state: (state[0] + 1, state[1] ** 2)
    ...     return lax.while_loop(lambda state: state[0] < 3, body, (0, x))[1]
    >>> derive(eighth_power, [1])
    value (1,)    [1]
    J     (1, 1)  [[8]]
    D     (1, 1)  [[56]]

    Operands: constants of the condition, constants of the body, then the state. Parameters:
    cond_jaxpr, cond_nconsts, body_jaxpr, body_nconsts.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.while_loop.html
    """
    params = equation.params
    operands = hyperduals(equation)
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    cond_consts = [operand.value for operand in operands[:first]]
    body_consts, init = operands[first:second], operands[second:]
    condition = core.jaxpr_as_fun(params["cond_jaxpr"])
    body = forward(params["body_jaxpr"], equation)
    init = carry_fixpoint(lambda carry: body([*body_consts, *carry]), init)

    def goes_on(carry: Sequence[HyperDual]) -> Any:
        return condition(*cond_consts, *(number.value for number in carry))[0]

    def turn(carry: Sequence[HyperDual]) -> list[HyperDual]:
        after = [
            instantiate_zeros(number, shape)
            for number, shape in zip(body([*body_consts, *carry]), init, strict=True)
        ]
        # Of loops that `jax.vmap` joined, those that have ended keep their state.
        own = goes_on(carry)
        if not own.shape:
            return after
        return [
            HyperDual(
                *(
                    None if new is None else jnp.where(_aligned(own, new, lead), new, old)
                    for new, old, lead in zip(number, before, (0, 1, 1), strict=True)
                )
            )
            for number, before in zip(after, carry, strict=True)
        ]

    final = lax.while_loop(lambda carry: goes_on(carry).any(), turn, init)
    return record_hyperduals(equation, final, reversible=False)


def _aligned(own: jax.Array, array: jax.Array, lead: int) -> jax.Array:
    """Return a condition for each loop with its axes after the first `lead` axes of an array."""
    return own.reshape(*[1] * lead, *own.shape, *[1] * (array.ndim - lead - own.ndim))


def hyperduals(equation: Equation) -> list[HyperDual]:
    """Return all operands with their derivatives, dense."""
    return [as_hyperdual(operand, equation.accumulation) for operand in equation.operands]


def forward(
    closed: core.ClosedJaxpr, equation: Equation
) -> Callable[[Sequence[HyperDual]], list[HyperDual]]:
    """Return a program as a function of hyper-dual numbers, by forward accumulation."""
    outer = equation.accumulation

    def run(numbers: Sequence[HyperDual]) -> list[HyperDual]:
        inner = outer.inside(math.inf)
        operands = [from_hyperdual(number) for number in numbers]
        results = interpret(closed.jaxpr, closed.consts, operands, inner)
        return [as_hyperdual(result, inner) for result in results]

    return run


def joint_shape(shapes: Sequence[HyperDual]) -> HyperDual:
    """Return the shapes of a number that has every derivative that one of `shapes` has."""
    return HyperDual(
        *(
            next((shape for shape in of_numbers if shape is not None), None)
            for of_numbers in zip(*shapes, strict=True)
        )
    )


def instantiate_zeros(number: HyperDual, shape: HyperDual) -> HyperDual:
    """Return the number with zeros where it lacks a derivative that `shape` has."""
    return HyperDual(
        *(
            jnp.zeros(aval.shape, aval.dtype) if array is None and aval is not None else array
            for array, aval in zip(number, shape, strict=True)
        )
    )


def carry_fixpoint(
    body: Callable[[Sequence[HyperDual]], Sequence[HyperDual]], init: Sequence[HyperDual]
) -> list[HyperDual]:
    """Return the start of a loop with zeros for the derivatives that the loop gives its carry.

    Each iteration of the search adds at least one derivative, so it ends.
    """
    carry = list(init)
    while True:
        shapes = jax.eval_shape(body, carry)
        wider = [
            instantiate_zeros(number, joint_shape([number, shape]))
            for number, shape in zip(carry, shapes, strict=True)
        ]
        if len(jax.tree.leaves(wider)) == len(jax.tree.leaves(carry)):
            return wider
        carry = wider


def record_hyperduals(
    equation: Equation, results: Sequence[HyperDual], reversible: bool
) -> list[Any]:
    """Record results whose D is complete in forward accumulation, a source in adjoint."""
    accumulation = equation.accumulation
    inexact = equation.only_inexact(results)
    jacobians = [None if r.jacobian is None else dense(r.jacobian) for r in inexact]
    hessian_diags = [None if r.hessian_diag is None else dense(r.hessian_diag) for r in inexact]
    pull = None
    if reversible and not accumulation.forward:
        _, pull = equation.with_pullback()
    nodes = accumulation.record(
        [result.value for result in inexact],
        jacobians,
        hessian_diags if accumulation.forward else [None] * len(inexact),
        [[]] * len(inexact)
        if accumulation.forward
        else [[] if tangent is None else [Source(None, tangent)] for tangent in hessian_diags],
        equation.parents,
        pull,
    )
    return equation.with_nodes([result.value for result in results], nodes)
