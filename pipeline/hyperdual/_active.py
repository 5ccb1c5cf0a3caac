"""What the interpreter knows of an array that depends on the inputs.

Elementwise functions of one node are not recorded one by one: an array phi(v), with v a node, is
carried as the entrywise pair phi'(v), phi''(v), a truncated Taylor series in one scalar for each
entry. Only when something other than an elementwise function asks is it made a node,

    J = phi'(v) J_v,    D = phi'(v) D_v + phi''(v) J_v^2,

so that an activation of ten primitives costs the k directions one step, not ten.
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
        curvature: phi'', shape S; None: zero.
    """

    node: Node
    value: jax.Array
    slope: jax.Array | None = None
    curvature: jax.Array | None = None
    _own_node: Node | None = None

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
        sources = []
        if self.curvature is not None:
            sources.append(Source(self.curvature, parent.jacobian, parent.jacobian))
        (node,) = accumulation.record(
            [self.value],
            [scale(parent.jacobian, slope)],
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
