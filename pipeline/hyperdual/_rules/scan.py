"""scan: a loop of known length, which has a reverse.

Forward, J and D are carried as further state. Adjoint, the forward loop carries J and keeps for
each turn what its reverse needs; a second loop runs the turns backwards:

    forward turn t:  (h, J_h), x_t -> (h', J_h'), y_t, residuals_t
    reverse turn t:  delta_h', delta_y_t, residuals_t -> delta_h, delta_x_t, and sum <delta, s>

The reverse of a turn is traced once, as a program whose constants are the residuals.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from .._accumulation import Accumulation, Irreversible, Node, Pull
from .._active import Active
from .._equation import Site
from .._interpret import as_triple, from_triple, interpret
from .._registry import register
from .._tangent import dense
from .control_flow import Triple, conform, forward, grown, record_triples, triples


@register("scan")
def scan(site: Site) -> list[Any]:
    """Run the loop on values and derivatives."""
    params = site.params
    given = triples(site)
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, start, items = given[:first], given[first:second], given[second:]
    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    if site.accumulation.forward:
        final, made = _loop(forward(params["jaxpr"], site), consts, start, items, options)
        return record_triples(site, [*final, *made], reversible=True)
    turn = _Turn(params["jaxpr"], consts, site.accumulation)
    try:
        final, made = _loop(turn, consts, start, items, options)
    except Irreversible:  # inside the body: carry D through the whole loop
        raise Irreversible(site.accumulation.step) from None
    results = [*final, *made[: len(made) - len(turn.stacked)]]
    residuals = [value for value, _, _ in made[len(made) - len(turn.stacked) :]]
    smooth = [triple for triple, kind in zip(results, site.smooth, strict=True) if kind]
    nodes = site.accumulation.record(
        [triple[0] for triple in smooth],
        [None if triple[1] is None else dense(triple[1]) for triple in smooth],
        [None] * len(smooth),
        [[]] * len(smooth),
        site.parents,
        _reversed(site, turn, residuals, options),
        curved=True,
    )
    return site.merged([triple[0] for triple in results], nodes)


def _loop(
    body: Any,
    consts: Sequence[Triple],
    start: Sequence[Triple],
    items: Sequence[Triple],
    options: dict[str, Any],
) -> tuple[list[Triple], list[Triple]]:
    """Run a body that maps triples to triples; directions go after the axis of the loop."""
    turns = [_swapped(triple) for triple in items]
    count = len(start)

    def state_after(state: Sequence[Triple]) -> list[Triple]:
        like = jax.tree.map(lambda array: jnp.zeros(array.shape[1:], array.dtype), turns)
        return body([*consts, *state, *like])[:count]

    start = grown(state_after, start)

    def step(state: Sequence[Triple], item: Sequence[Triple]) -> tuple[Any, Any]:
        results = body([*consts, *state, *item])
        after = [conform(t, like) for t, like in zip(results[:count], start, strict=True)]
        return after, results[count:]

    final, made = lax.scan(step, start, turns, **options)
    return final, [_swapped(triple) for triple in made]


def _swapped(triple: Triple) -> Triple:
    """Exchange the axis of the loop and that of the directions, in J and D."""
    value, jacobian, hessian_diag = triple
    return value, *(
        None if array is None else jnp.swapaxes(array, 0, 1) for array in (jacobian, hessian_diag)
    )


class _Turn:
    """One turn of the loop in adjoint accumulation; notes how to reverse it while it is traced.

    Attributes:
        reverse: (cotangents of the smooth active results) -> (those of the active operands, D).
        operands, results: for each operand and result whether it is active.
        shared: residuals that are the same in every turn, by position; `stacked`: the others.
    """

    def __init__(self, closed: core.ClosedJaxpr, consts: Sequence[Triple], outer: Accumulation):
        self.closed, self.outer = closed, outer
        self.fixed = [value for value, _, _ in consts] + list(closed.consts)

    def __call__(self, given: Sequence[Triple]) -> list[Triple]:
        inner = Accumulation(self.outer.outputs, 0, self.outer.laplacian)
        operands = [from_triple(triple) for triple in given]
        for operand in operands:
            if isinstance(operand, Active):
                operand.node.curved = True  # by the turn before, if not by this one
        results = interpret(self.closed.jaxpr, self.closed.consts, operands, inner)
        nodes = [r.as_node(inner) if isinstance(r, Active) else None for r in results]
        self.operands = [isinstance(operand, Active) for operand in operands]
        self.results = [node is not None for node in nodes]
        self._trace_reverse(operands, [node for node in nodes if node is not None], inner)
        return [as_triple(result, inner) for result in results] + [
            (residual, None, None) for residual in self._residuals
        ]

    def _trace_reverse(
        self, operands: Sequence[Any], results: Sequence[Node], inner: Accumulation
    ) -> None:
        m = inner.outputs
        inputs = [operand.node for operand in operands if isinstance(operand, Active)]
        columns = 1 if inner.laplacian else inputs[0].jacobian.data.shape[0]

        def backward(cotangents: list[jax.Array]) -> tuple[list[jax.Array], jax.Array]:
            reached, found = inner.reverse(list(zip(results, cotangents, strict=True)))
            passed = [
                reached.get(id(node), jnp.zeros((m, *node.value.shape), node.value.dtype))
                for node in inputs
            ]
            if found is None:
                real = jnp.finfo(inputs[0].value.dtype).dtype
                found = jnp.zeros((m, columns), real)
            return passed, found

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
        """Reverse one turn."""
        consts = dict(self.shared) | dict(zip(self.stacked, residuals, strict=True))
        closed = core.ClosedJaxpr(self.reverse, [consts[at] for at in sorted(consts)])
        return jax.tree.unflatten(self.tree, core.jaxpr_as_fun(closed)(*cotangents))


def _reversed(
    site: Site, turn: _Turn, residuals: Sequence[jax.Array], options: dict[str, Any]
) -> Pull:
    """Return the reverse of the whole loop."""
    params, m = site.params, site.accumulation.outputs
    n_consts, n_carry = params["num_consts"], params["num_carry"]
    active = [at for at, is_active in enumerate(turn.operands) if is_active]
    consts = [at for at in active if at < n_consts]
    carry = [at - n_consts for at in active if n_consts <= at < n_consts + n_carry]
    # A turn may make a state inactive again: then nothing passes back through it.
    passing = [at for at in carry if turn.results[at]]

    def zeros(variable: Any) -> jax.Array:
        return jnp.zeros((m, *variable.aval.shape), variable.aval.dtype)

    def pull(given: list[Any]) -> tuple[list[Any], jax.Array]:
        arrived = iter(given)
        cotangents = []
        for variable, kind in zip(site.equation.outvars, site.smooth, strict=True):
            cotangent = next(arrived) if kind else None
            cotangents.append(zeros(variable) if cotangent is None else cotangent)
        items = [
            jnp.swapaxes(cotangents[at], 0, 1)
            for at in range(n_carry, len(turn.results))
            if turn.results[at]
        ]

        def step(running: Any, item: Any) -> tuple[Any, Any]:
            totals, state, found = running
            made, kept = item
            passed, born = turn.back(kept, [*(state[at] for at in passing), *made])
            by_operand = dict(zip(active, passed, strict=True))
            totals = {at: totals[at] + by_operand[at] for at in consts}
            state = {at: by_operand[n_consts + at] for at in carry}
            rest = {at: ct for at, ct in by_operand.items() if at >= n_consts + n_carry}
            return (totals, state, found + born), rest

        totals = {at: zeros(site.equation.invars[at]) for at in consts}
        state = {at: cotangents[at] for at in carry}
        born = turn.reverse.outvars[-1].aval
        (totals, state, found), passed = lax.scan(
            step,
            (totals, state, jnp.zeros(born.shape, born.dtype)),
            (items, list(residuals)),
            **(options | {"reverse": not options["reverse"]}),
        )
        every = totals | {n_consts + at: ct for at, ct in state.items()}
        every |= {at: jnp.swapaxes(ct, 0, 1) for at, ct in passed.items()}
        # A state that the loop itself makes active has no parent outside.
        return [every[at] for at in site.active], found

    return pull
