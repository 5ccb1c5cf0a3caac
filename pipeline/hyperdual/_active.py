"""What the interpreter knows of an array that depends on the inputs.

Elementwise functions of one node are not recorded one by one: an array phi(v), with v a node, is
carried as the entrywise pair phi'(v), phi''(v), a truncated Taylor series in one scalar for each
entry. Only when something other than an elementwise function asks is it made a node,

    J = phi'(v) J_v,    D = phi'(v) D_v + phi''(v) J_v^2,

so that an activation of ten primitives costs the k directions one step, not ten.

Of a power or a logarithm, phi''(v) = r(v) phi'(v) can leave the range of the numbers where both
derivatives are ordinary: at |x| = 1e-15, the second derivative of sqrt at |x|^2 is 1e45. So r is
kept, and r phi' J_v^2 is formed as (r J_v) J.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ._accumulation import Accumulation, Node, Source, masked_product
from ._tangent import scale, select


class Joined(NamedTuple):
    """What an array was concatenated of.

    Attributes:
        parts: each `Active` or a plain array.
        dimension: the axis.
    """

    parts: list[Any]
    dimension: int


@dataclass(eq=False)
class Active:
    """phi(node.value), entry by entry.

    Attributes:
        node: the argument of phi.
        value: phi, shape S.
        slope: phi', shape S; None: one.
        bend: a part of phi'', shape S; None: zero.
        ratio: r, shape S, for a further part r phi'; None: zero.
        selected: shape S; false where phi does not go by the node at all, as where something else
            is selected: there J and D are zero, even if those of the node are infinite. None:
            true everywhere.
        joined: what it was concatenated of; None: not known, or of nothing.
    """

    node: Node
    value: jax.Array
    slope: jax.Array | None = None
    bend: jax.Array | None = None
    ratio: jax.Array | None = None
    selected: jax.Array | None = None
    joined: Joined | None = None
    _own_node: Node | None = None

    @property
    def curvature(self) -> jax.Array | None:
        """phi'' = bend + r phi', shape S; None: zero."""
        if self.ratio is None:
            return self.bend
        further = times(self.ratio, self.slope)
        return further if self.bend is None else self.bend + further

    def as_node(self, accumulation: Accumulation) -> Node:
        """Return this array as a node of its own, recorded once."""
        if self.value is self.node.value:
            return self.node
        if self._own_node is None:
            self._own_node = self._record(accumulation)
        return self._own_node

    def _record(self, accumulation: Accumulation) -> Node:
        parent, slope, selected = self.node, self.slope, self.selected
        before, carried = select(parent.jacobian, selected), parent.hessian_diag
        jacobian = scale(before, slope)
        sources = []
        if self.bend is not None:
            shared = not parent.curved and selected is None
            sources.append(Source(self.bend, before, before, same_for_rows=shared))
        if self.ratio is not None:
            sources.append(Source(self.ratio, before, jacobian))
        (node,) = accumulation.record(
            [self.value],
            [jacobian],
            [None if carried is None else scale(select(carried, selected), slope)],
            [sources],
            [parent],
            lambda cotangents: ([_pulled(cotangents[0], slope, selected)], None),
        )
        assert node is not None
        return node


def as_active(node: Node) -> Active:
    """Return the array that is the node itself."""
    return Active(node, node.value)


def _pulled(
    cotangent: jax.Array | None, slope: jax.Array | None, selected: jax.Array | None
) -> jax.Array | None:
    if cotangent is None or slope is None:
        return cotangent
    passed = masked_product(cotangent, slope)
    return passed if selected is None else jnp.where(selected, passed, jnp.zeros_like(passed))


def times(factor: jax.Array, slope: jax.Array | None) -> jax.Array:
    """Return the product with a slope (None: one)."""
    return factor if slope is None else factor * slope
