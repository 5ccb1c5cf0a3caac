"""The two accumulations, as places where intermediates are recorded.

For a primitive u = phi(v_1, ..., v_p), along each direction i,

    J_u[i] = sum_a dphi/dv_a . J_va[i]
    D_u[i] = sum_a dphi/dv_a . D_va[i] + s_u[i],     s_u[i] = phi''(v)[J_v[i], J_v[i]].

The *source* s_u is the only place where second derivatives are born. Forward accumulation carries
D along (hyper-dual numbers; Fike and Alonso, AIAA 2011-886). Adjoint accumulation uses that D_y is
linear in the sources: with the cotangents delta_u[j] = dy_j/du from one reverse sweep,

    D_y[j, i] = sum_u < delta_u[j], s_u[i] >

(the identity behind edge pushing: Gower and Mello, Optimization Methods and Software 27, 2012).
The two can be joined: carry D up to some equation, and take each D that later equations use as one
more source. That is how programs with a step that has no reverse mode are done.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ._tangent import Tangent, add, contract, finite, product, scale, select, total

# Maps cotangents (m, *S) of the results (None: zero) to those of the parents, and to what the
# inside of the step adds to D of the outputs, shape (m, k) (None: nothing).
Pull = Callable[[list[jax.Array | None]], tuple[Sequence[jax.Array | None], jax.Array | None]]


class Source(NamedTuple):
    """coefficient * left * right, entry by entry; a factor that is None is one.

    Attributes:
        coefficient: shape S.
        left, right: tangents.
        same_for_rows: whether the tangents are the same for all rows of a batch. Their product is
            then formed once. Otherwise the coefficient, which is large where a tangent is small,
            is multiplied with one of them first, as JAX's nested jvp does: the square of a tangent
            leaves the range of float32 where the tangent is below 1e-19 or above 1e19.
    """

    coefficient: jax.Array | None
    left: Tangent
    right: Tangent | None = None
    same_for_rows: bool = False

    def held(self) -> "Source":
        """Return this with its first product formed as it stands, whatever a compiler prefers."""
        if self.right is None:
            return self
        return Source(None, _as_it_is(scale(self.left, self.coefficient)), self.right)

    def parts(self) -> tuple[jax.Array | None, Tangent]:
        """Return a coefficient (None: one) and a tangent whose product is this source."""
        if self.right is None:
            return self.coefficient, self.left
        if self.same_for_rows:
            return self.coefficient, product(self.left, self.right)
        return None, product(scale(self.left, self.coefficient), self.right)


@dataclass(eq=False)
class Node:
    """A recorded intermediate of shape S: its value, J and, in forward accumulation, D.

    Attributes:
        value: shape S.
        jacobian: along the k directions.
        hessian_diag: likewise, or along one direction for the Laplacian; None: zero, or not
            carried because it will come out of the reverse sweep.
        curved: whether a source, or a D, is here or upstream.
    """

    value: jax.Array
    jacobian: Tangent
    hessian_diag: Tangent | None = None
    curved: bool = False


class _Step(NamedTuple):
    """One recorded step: what the reverse sweep needs."""

    number: int
    nodes: list[Node | None]
    sources: list[list[Source]]
    parents: list[Node]
    pull: Pull


class Irreversible(Exception):
    """A step that the reverse sweep must pass has no reverse; D is to be carried through it."""

    def __init__(self, step: int):
        self.step = step


@dataclass
class Accumulation:
    """Records intermediates, carrying D before step `cut` and recording sources from there on.

    Attributes:
        outputs: m, the number of cotangents in the reverse sweep.
        cut: the first step of adjoint accumulation: 0 is all adjoint, infinity all forward.
        laplacian: whether sources are summed over the directions where they are born.
        columns: whether a dense layer takes value, J and D in one product, each as columns.
        stepwise: whether each elementwise primitive is recorded by itself (see `_factors`).
        last_layers: the identities of the equations that `_last_layer` finds.
        reversible: whether every step so far has a reverse.
    """

    outputs: int
    cut: float
    laplacian: bool = False
    columns: bool = False
    stepwise: bool = False
    last_layers: frozenset[int] = frozenset()
    step: int = 0
    reversible: bool = True
    steps: list[_Step] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)

    def inside(self, cut: float) -> "Accumulation":
        """Return the accumulation of a program within this one, such as the body of a loop."""
        return Accumulation(self.outputs, cut, self.laplacian, stepwise=self.stepwise)

    @property
    def forward(self) -> bool:
        """Whether D is being carried."""
        return self.step < self.cut

    def record(
        self,
        values: Sequence[jax.Array],
        jacobians: Sequence[Tangent | None],
        hessian_diags: Sequence[Tangent | None],
        sources: Sequence[Sequence[Source]],
        parents: list[Node],
        pull: Pull | None,
        curved: bool = False,
    ) -> list[Node | None]:
        """Record the results of one step; a result whose J is None is no node.

        Args:
            values: the results.
            jacobians: of each result.
            hessian_diags: of each result, as far as it is linear in the parents' D; not looked
                at in adjoint accumulation.
            sources: of each result.
            parents: the nodes that the step used.
            pull: the reverse of the step; None if there is none.
            curved: whether there are sources inside the step, that `pull` accounts for.
        """
        upstream = any(parent.curved for parent in parents)
        nodes: list[Node | None] = []
        for value, jacobian, carried, own_sources in zip(
            values, jacobians, hessian_diags, sources, strict=True
        ):
            if jacobian is None:
                nodes.append(None)
                continue
            if self.stepwise:
                jacobian = _as_it_is(jacobian)
            node = Node(value, jacobian, curved=upstream or curved or bool(own_sources))
            if self.forward:
                terms = [] if carried is None else [carried]
                terms += [self._as_tangent(source) for source in own_sources]
                node.hessian_diag = add(terms)
                if node.hessian_diag is not None:
                    self.leaves.append(node)
            nodes.append(node)
        if not self.forward:
            if pull is None:
                if upstream:
                    raise Irreversible(self.step)
                pull = _nothing_upstream(len(parents))
                self.reversible = False
            self.steps.append(
                _Step(self.step, nodes, [list(each) for each in sources], parents, pull)
            )
        return nodes

    def _as_tangent(self, source: Source) -> Tangent:
        coefficient, tangent = (source.held() if self.stepwise else source).parts()
        return scale(total(tangent) if self.laplacian else tangent, coefficient)

    def reverse(
        self, results: Sequence[tuple[Node, jax.Array]]
    ) -> tuple[dict[int, jax.Array], jax.Array | None]:
        """Sweep back from the results' cotangents (m, *S).

        Returns:
            The cotangents of all nodes reached, by id, and D of the outputs, shape (m, k) or, for
            the Laplacian, (m, 1); None if no source was met.
        """
        cotangents: dict[int, jax.Array] = {}
        terms: list[jax.Array] = []  # of D of the outputs

        def reach(node: Node, cotangent: jax.Array) -> None:
            before = cotangents.get(id(node))
            cotangents[id(node)] = cotangent if before is None else before + cotangent

        for node, cotangent in results:
            reach(node, cotangent)
        for step in reversed(self.steps):
            arriving = [None if node is None else cotangents.get(id(node)) for node in step.nodes]
            if all(cotangent is None for cotangent in arriving):
                continue
            for arrived, sources in zip(arriving, step.sources, strict=True):
                if arrived is not None:
                    terms += [self._contracted(arrived, source) for source in sources]
            try:
                passed, inside = step.pull(arriving)
            except Exception as error:  # JAX has no reverse for it, or a faulty one
                raise Irreversible(step.number) from error
            if inside is not None:
                terms.append(inside)
            for parent, contribution in zip(step.parents, passed, strict=True):
                if contribution is not None:
                    reach(parent, contribution)
        for leaf in self.leaves:
            if id(leaf) in cotangents and leaf.hessian_diag is not None:
                terms.append(_contracted_where_reached(cotangents[id(leaf)], leaf.hessian_diag))
        if not terms:
            return cotangents, None
        # With complex intermediates, dy = Re(sum delta du) for real y.
        return cotangents, functools.reduce(jnp.add, map(jnp.real, terms))

    def _contracted(self, cotangent: jax.Array, source: Source) -> jax.Array:
        if source.right is not None:
            # What is not finite in J spoils J of the outputs that depend on it, and by that their
            # D (see `own.py`); it is not to spoil, by a sum, the others.
            source = source._replace(left=finite(source.left), right=finite(source.right))
            if source.coefficient is not None and not source.same_for_rows:
                # An infinite one goes to the cotangents: there it meets these outputs alone.
                usual = jnp.isfinite(source.coefficient)
                cotangent = masked_product(cotangent, jnp.where(usual, 1, source.coefficient))
                source = source._replace(coefficient=jnp.where(usual, source.coefficient, 1))
        coefficient, tangent = source.parts()
        if self.laplacian:
            tangent = total(tangent)
        if coefficient is not None:
            # The factor that varies from row to row goes to the smaller operand.
            cotangent = masked_product(cotangent, coefficient)
        return _contracted_where_reached(cotangent, tangent)


def _contracted_where_reached(cotangents: jax.Array, tangent: Tangent) -> jax.Array:
    """Contract, without the entries that no output depends on: what is there may be infinite."""
    return contract(cotangents, select(tangent, (cotangents != 0).any(axis=0)))


def _as_it_is(tangent: Tangent) -> Tangent:
    """Keep XLA from multiplying constant factors with one another first, which may overflow."""
    return Tangent(lax.optimization_barrier(tangent.data), tangent.sizes, tangent.ties)


def masked_product(cotangent: jax.Array, factor: jax.Array) -> jax.Array:
    """Return the product, zero where the cotangent is: what does not matter may be infinite."""
    return jnp.where(cotangent == 0, cotangent, cotangent * factor)


def _nothing_upstream(count: int) -> Pull:
    return lambda cotangents: ([None] * count, None)
