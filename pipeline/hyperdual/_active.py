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

import jax

from ._accumulation import Accumulation, Node, Source, masked_product
from ._tangent import scale


@dataclass(eq=False)
class Active:
    """phi(node.value), entry by entry.

    Attributes:
        node: the argument of phi.
        value: phi, shape S.
        slope: phi', shape S; None: one.
        bend: a part of phi'', shape S; None: zero.
        ratio: r, shape S, for a further part r phi'; None: zero.
    """

    node: Node
    value: jax.Array
    slope: jax.Array | None = None
    bend: jax.Array | None = None
    ratio: jax.Array | None = None
    _own_node: Node | None = None

    @property
    def curvature(self) -> jax.Array | None:
        """phi'' = bend + r phi', shape S; None: zero."""
        if self.ratio is None:
            return self.bend
        further = self.ratio if self.slope is None else self.ratio * self.slope
        return further if self.bend is None else self.bend + further

    def as_node(self, accumulation: Accumulation) -> Node:
        """Return this array as a node of its own, recorded once."""
        if self.value is self.node.value:
            return self.node
        if self._own_node is None:
            self._own_node = self._record(accumulation)
        return self._own_node

    def _record(self, accumulation: Accumulation) -> Node:
        parent, slope = self.node, self.slope
        carried = parent.hessian_diag
        jacobian = scale(parent.jacobian, slope)
        sources = []
        if self.bend is not None:
            sources.append(
                Source(self.bend, parent.jacobian, parent.jacobian, same_for_rows=not parent.curved)
            )
        if self.ratio is not None:
            sources.append(Source(self.ratio, parent.jacobian, jacobian))
        (node,) = accumulation.record(
            [self.value],
            [jacobian],
            [None if carried is None else scale(carried, slope)],
            [sources],
            [parent],
            lambda cotangents: ([_scaled(cotangents[0], slope)], None),
        )
        assert node is not None
        return node


def as_active(node: Node) -> Active:
    """Return the array that is the node itself."""
    return Active(node, node.value)


def _scaled(cotangent: jax.Array | None, slope: jax.Array | None) -> jax.Array | None:
    return cotangent if cotangent is None or slope is None else masked_product(cotangent, slope)
