"""scan: a loop of known length, which has a reverse.

Forward, J and D are carried as further state. Adjoint, the forward loop carries J and keeps for
each iteration what its reverse needs; a second loop runs the iterations backwards:

    forward, iteration t:  (h, J_h), x_t -> (h', J_h'), y_t, residuals_t
    reverse, iteration t:  delta_h', delta_y_t, residuals_t -> delta_h, delta_x_t, sum <delta, s>

The reverse of an iteration is traced once, as a program whose constants are the residuals.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from .._accumulation import Accumulation, Irreversible, Node, Pull
from .._active import Active
from .._equation import Equation
from .._interpret import HyperDual, as_hyperdual, from_hyperdual, interpret
from .._jaxpr import equations, scan_counts
from .._registry import register
from .._tangent import dense
from .control_flow import forward, hyperduals, record_hyperduals
from .loop import Part, loop, loop_in_parts

# A loop is cut into so many parts at most, each of so many iterations at least. Each is compiled
# by itself: so many equations together at most.
_PARTS, _LEAST_ITERATIONS, _MOST_EQUATIONS = 4, 2, 400


@register(
    "scan",
    parameters=(
        "jaxpr", "num_consts", "num_carry", "ft_in", "ft_out", "length", "reverse", "unroll",
    ),
)  # fmt: skip
def scan(equation: Equation) -> list[Any]:
    """Run a loop of known length over the first axis of arrays, with a state that is carried on.

    Running products of x, shape (3,), from 1:

    >>> def running_products(x):
    ...     return lax.scan(lambda state, x_t: (state * x_t, state * x_t), 1.0, x)[1]
    >>> derive(running_products, [2, 3, 5])
    value (3,)    [2, 6, 30]
    J     (3, 3)  [[1, 0, 0], [3, 2, 0], [15, 10, 6]]
    D     (3, 3)  [[0, 0, 0], [0, 0, 0], [0, 0, 0]]

    Operands: constants of the body, then the carry, then the arrays (`xs`). Parameters: jaxpr, the
    body; num_consts, num_carry, length, reverse, unroll; since JAX 0.12 ft_in and ft_out, trees of
    the operands and results, in place of the numbers.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html
    """
    params = equation.params
    operands = hyperduals(equation)
    n_consts, n_carry = scan_counts(equation.eqn)
    consts, init, xs = (
        operands[:n_consts],
        operands[n_consts : n_consts + n_carry],
        operands[n_consts + n_carry :],
    )
    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    if equation.accumulation.forward:
        body, parts = forward(params["jaxpr"], equation), _parts(equation)
        carry, ys = loop_in_parts(body, consts, init, xs, options, parts)
        recorded = record_hyperduals(equation, [*carry, *ys], reversible=True)
        for result in recorded[n_carry:] if len(parts) > 1 else []:
            if isinstance(result, Active):
                result.node.jacobian = replace(result.node.jacobian, order=_order(equation))
        return recorded
    iteration = _Iteration(params["jaxpr"], consts, equation.accumulation)
    try:
        carry, ys = loop(iteration, consts, init, xs, options)
    except Irreversible:  # inside the body: carry D through the whole loop
        raise Irreversible(equation.accumulation.step) from None
    residuals = [number.value for number in ys[len(ys) - len(iteration.stacked) :]]
    results = [*carry, *ys[: len(ys) - len(iteration.stacked)]]
    inexact = equation.only_inexact(results)
    nodes = equation.accumulation.record(
        [result.value for result in inexact],
        [None if result.jacobian is None else dense(result.jacobian) for result in inexact],
        [None] * len(inexact),
        [[]] * len(inexact),
        equation.parents,
        _reversed(equation, iteration, residuals, options),
        curved=True,
    )
    return equation.with_nodes([result.value for result in results], nodes)


def _parts(equation: Equation) -> list[Part]:
    """Return the parts of a loop; one, where no direction is known to be zero in any iteration.

    Of a sequence that nothing has mixed yet, iteration t meets the directions of element t; so it
    does of one that comes from such a loop. Those of later elements are zero up to there, and most
    of their work is left out when the loop is cut into a few parts that carry only what has been
    met: (parts + 1) / (2 parts) of it is left.
    """
    length, order = equation.params["length"], _order(equation)
    first_x = sum(scan_counts(equation.eqn))
    xs = [at for at in equation.active if at >= first_x]
    tangents = [node.jacobian for node in equation.parents]
    in_order = len(xs) == len(equation.active) and all(
        (tangent.sizes[0] == length and tangent.ties[0] == 0) or tangent.order == order
        for tangent in tangents
    )
    names = [eqn.primitive.name for eqn in equations(equation.params["jaxpr"])]
    if not in_order or "scan" in names or "while" in names:
        return [Part(0, length, slice(None))]
    count = max(1, min(_PARTS, length // _LEAST_ITERATIONS, _MOST_EQUATIONS // max(len(names), 1)))
    of_one = math.prod(tangents[0].sizes) // length
    ends = [length * number // count for number in range(count + 1)]
    if order > 0:
        return [Part(start, end, slice(0, end * of_one)) for start, end in pairwise(ends)]
    parts = [Part(start, end, slice(start * of_one, None)) for start, end in pairwise(ends)]
    return parts[::-1]


def _order(equation: Equation) -> int:
    """Return the direction of a loop, as a `Tangent` has it."""
    return -1 if equation.params["reverse"] else 1


class _Iteration:
    """One iteration in adjoint accumulation; notes how to reverse it while it is traced.

    Attributes:
        reverse: (cotangents of the inexact active results) -> (those of the active operands, D).
        operands, results: for each operand and result whether it is active.
        shared: residuals that are the same in every iteration, by position; `stacked`: the others.
    """

    def __init__(self, closed: core.ClosedJaxpr, consts: Sequence[HyperDual], outer: Accumulation):
        self.closed, self.outer = closed, outer
        self.fixed = [const.value for const in consts] + list(closed.consts)

    def __call__(self, numbers: Sequence[HyperDual]) -> list[HyperDual]:
        inner = self.outer.inside(0)
        operands = [from_hyperdual(number) for number in numbers]
        for operand in operands:
            if isinstance(operand, Active):
                operand.node.curved = True  # by the iteration before, if not by this one
        results = interpret(self.closed.jaxpr, self.closed.consts, operands, inner)
        nodes = [r.as_node(inner) if isinstance(r, Active) else None for r in results]
        self.operands = [isinstance(operand, Active) for operand in operands]
        self.results = [node is not None for node in nodes]
        self._trace_reverse(operands, [node for node in nodes if node is not None], inner)
        return [as_hyperdual(result, inner) for result in results] + [
            HyperDual(residual) for residual in self._residuals
        ]

    def _trace_reverse(
        self, operands: Sequence[Any], results: Sequence[Node], inner: Accumulation
    ) -> None:
        m = inner.outputs
        inputs = [operand.node for operand in operands if isinstance(operand, Active)]
        columns = 1 if inner.laplacian else inputs[0].jacobian.data.shape[0]

        def backward(cotangents: list[jax.Array]) -> tuple[list[jax.Array], jax.Array]:
            reached, hessian_diag = inner.reverse(list(zip(results, cotangents, strict=True)))
            passed = [
                reached.get(id(node), jnp.zeros((m, *node.value.shape), node.value.dtype))
                for node in inputs
            ]
            if hessian_diag is None:
                real = jnp.finfo(inputs[0].value.dtype).dtype
                hessian_diag = jnp.zeros((m, columns), real)
            return passed, hessian_diag

        shapes = [
            jax.ShapeDtypeStruct((m, *node.value.shape), node.value.dtype) for node in results
        ]
        traced, tree = jax.make_jaxpr(backward, return_shape=True)(shapes)
        self.reverse, self.tree = traced.jaxpr, jax.tree.structure(tree)
        self.shared = {
            at: const
            for at, const in enumerate(traced.consts)
            if any(const is fixed for fixed in self.fixed)
        }
        self.stacked = [at for at in range(len(traced.consts)) if at not in self.shared]
        self._residuals = [traced.consts[at] for at in self.stacked]

    def back(
        self, residuals: Sequence[jax.Array], cotangents: Sequence[jax.Array]
    ) -> tuple[list[jax.Array], jax.Array]:
        """Reverse one iteration."""
        consts = dict(self.shared) | dict(zip(self.stacked, residuals, strict=True))
        closed = core.ClosedJaxpr(self.reverse, [consts[at] for at in sorted(consts)])
        return jax.tree.unflatten(self.tree, core.jaxpr_as_fun(closed)(*cotangents))


def _reversed(
    equation: Equation,
    iteration: _Iteration,
    residuals: Sequence[jax.Array],
    options: dict[str, Any],
) -> Pull:
    """Return the reverse of the whole loop."""
    m = equation.accumulation.outputs
    n_consts, n_carry = scan_counts(equation.eqn)
    active = [at for at, is_active in enumerate(iteration.operands) if is_active]
    consts = [at for at in active if at < n_consts]
    carry = [at - n_consts for at in active if n_consts <= at < n_consts + n_carry]
    # An iteration may make a carry inactive again: then nothing passes back through it.
    passing = [at for at in carry if iteration.results[at]]

    def zeros(variable: Any) -> jax.Array:
        return jnp.zeros((m, *variable.aval.shape), variable.aval.dtype)

    def pull(arriving: list[Any]) -> tuple[list[Any], jax.Array]:
        remaining = iter(arriving)
        cotangents = []
        for variable, inexact in zip(equation.eqn.outvars, equation.inexact, strict=True):
            cotangent = next(remaining) if inexact else None
            cotangents.append(zeros(variable) if cotangent is None else cotangent)
        of_ys = [
            jnp.swapaxes(cotangents[at], 0, 1)
            for at in range(n_carry, len(iteration.results))
            if iteration.results[at]
        ]

        def step(running: Any, item: Any) -> tuple[Any, Any]:
            of_consts, of_carry, hessian_diag = running
            of_y, kept = item
            passed, inside = iteration.back(kept, [*(of_carry[at] for at in passing), *of_y])
            by_operand = dict(zip(active, passed, strict=True))
            of_consts = {at: of_consts[at] + by_operand[at] for at in consts}
            of_carry = {at: by_operand[n_consts + at] for at in carry}
            of_x = {at: ct for at, ct in by_operand.items() if at >= n_consts + n_carry}
            return (of_consts, of_carry, hessian_diag + inside), of_x

        last = iteration.reverse.outvars[-1].aval
        (of_consts, of_carry, hessian_diag), of_xs = lax.scan(
            step,
            (
                {at: zeros(equation.eqn.invars[at]) for at in consts},
                {at: cotangents[at] for at in carry},
                jnp.zeros(last.shape, last.dtype),
            ),
            (of_ys, list(residuals)),
            **(options | {"reverse": not options["reverse"]}),
        )
        by_operand = of_consts | {n_consts + at: ct for at, ct in of_carry.items()}
        by_operand |= {at: jnp.swapaxes(ct, 0, 1) for at, ct in of_xs.items()}
        # A carry that the loop itself makes active has no parent outside.
        return [by_operand[at] for at in equation.active], hessian_diag

    return pull
