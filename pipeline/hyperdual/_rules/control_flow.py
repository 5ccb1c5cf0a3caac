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

from .._accumulation import Accumulation, Source
from .._equation import Site
from .._interpret import as_triple, from_triple, interpret
from .._registry import register
from .._tangent import dense

# Value, J and D of one array, dense; None where zero.
Triple = tuple[Any, Any, Any]


@register("cond")
def cond(site: Site) -> list[Any]:
    """Take the branch, with its derivatives."""
    index, *operands = triples(site)
    branches = [forward(branch, site) for branch in site.params["branches"]]
    shapes = [jax.eval_shape(branch, operands) for branch in branches]
    wanted = [merge(list(each)) for each in zip(*shapes, strict=True)]
    chosen = lax.switch(
        index[0],
        [
            lambda given, branch=branch: [
                conform(triple, like) for triple, like in zip(branch(given), wanted, strict=True)
            ]
            for branch in branches
        ],
        operands,
    )
    return record_triples(site, chosen, reversible=True)


@register("while")
def while_loop(site: Site) -> list[Any]:
    """Repeat the body on values and derivatives; the condition looks at the values."""
    params = site.params
    given = triples(site)
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    cond_consts = [value for value, _, _ in given[:first]]
    body_consts, start = given[first:second], given[second:]
    condition = core.jaxpr_as_fun(params["cond_jaxpr"])
    step = forward(params["body_jaxpr"], site)
    start = grown(lambda state: step([*body_consts, *state]), start)
    final = lax.while_loop(
        lambda state: condition(*cond_consts, *(value for value, _, _ in state))[0],
        lambda state: [
            conform(triple, like)
            for triple, like in zip(step([*body_consts, *state]), start, strict=True)
        ],
        start,
    )
    return record_triples(site, final, reversible=False)


def triples(site: Site) -> list[Triple]:
    """Return all operands as dense triples."""
    return [as_triple(operand, site.accumulation) for operand in site.operands]


def forward(closed: core.ClosedJaxpr, site: Site) -> Callable[[Sequence[Triple]], list[Triple]]:
    """Return a program as a function of triples, by forward accumulation."""
    outer = site.accumulation

    def run(given: Sequence[Triple]) -> list[Triple]:
        inner = Accumulation(outer.outputs, math.inf, outer.laplacian)
        operands = [from_triple(triple) for triple in given]
        results = interpret(closed.jaxpr, closed.consts, operands, inner)
        return [as_triple(result, inner) for result in results]

    return run


def merge(shapes: Sequence[Triple]) -> Triple:
    """Return the shapes of a triple that has every derivative that one of `shapes` has."""
    value, jacobian, hessian_diag = (
        next((shape[at] for shape in shapes if shape[at] is not None), None) for at in range(3)
    )
    return value, jacobian, hessian_diag


def conform(triple: Triple, like: Triple) -> Triple:
    """Return the triple with zeros where it lacks a derivative that `like` has."""
    return tuple(  # type: ignore[return-value]
        jnp.zeros(want.shape, want.dtype) if have is None and want is not None else have
        for have, want in zip(triple, like, strict=True)
    )


def grown(
    step: Callable[[Sequence[Triple]], Sequence[Triple]], start: Sequence[Triple]
) -> list[Triple]:
    """Return the start of a loop with zeros for the derivatives that the loop brings to its state.

    Each turn of the search adds at least one derivative, so it ends.
    """
    state = list(start)
    while True:
        shapes = jax.eval_shape(step, state)
        wider = [
            conform(triple, merge([triple, shape]))
            for triple, shape in zip(state, shapes, strict=True)
        ]
        if len(jax.tree.leaves(wider)) == len(jax.tree.leaves(state)):
            return wider
        state = wider


def record_triples(site: Site, results: Sequence[Triple], reversible: bool) -> list[Any]:
    """Record results whose D is complete in forward accumulation, a source in adjoint."""
    accumulation = site.accumulation
    smooth = [triple for triple, kind in zip(results, site.smooth, strict=True) if kind]
    jacobians = [None if triple[1] is None else dense(triple[1]) for triple in smooth]
    bent = [None if triple[2] is None else dense(triple[2]) for triple in smooth]
    pull = None
    if reversible and not accumulation.forward:
        _, pull = site.with_pullback()
    nodes = accumulation.record(
        [triple[0] for triple in smooth],
        jacobians,
        bent if accumulation.forward else [None] * len(smooth),
        [[]] * len(smooth)
        if accumulation.forward
        else [[] if tangent is None else [Source(None, tangent)] for tangent in bent],
        site.parents,
        pull,
    )
    return site.merged([triple[0] for triple in results], nodes)
