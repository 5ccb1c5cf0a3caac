"""This package's methods: one walk over the traced function, by forward or adjoint accumulation."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from .. import _rules  # noqa: F401  (enters the rules)
from .._accumulation import Accumulation, Irreversible, Node
from .._active import Active, as_active
from .._factors import SHARE_FOR_SQUARES, share_of_range
from .._interpret import interpret
from .._last_layer import last_layers
from .._tangent import flatten, identity
from .._waist import Waist, find_waist
from .method import Function, PointDerivatives

# A product with so many terms in each entry is written out where each row of a batch has one by
# itself: XLA's CPU backend calls a function for each, and joins the terms with what follows.
_FEW_TERMS = 10
# Of the powers of ten of the range, what factors may have where a last layer is one product.
_SHARE_OF_LAST_LAYERS = 0.13


def hyperdual(fn: Function, z: jax.Array) -> PointDerivatives:
    """Forward accumulation: value, J and D carried together (1 + 2k passes).

    Structure that is known is not computed: no D before the first nonlinearity, no J beyond the
    directions that an intermediate depends on.
    """
    return _accumulated(fn, z, math.inf)


def hyperdual_adjoint(fn: Function, z: jax.Array) -> PointDerivatives:
    """Adjoint accumulation: one sweep with J, one reverse sweep for each output (1 + k + m passes).

    A step without reverse mode (`while`) is passed in forward accumulation, with all before it.
    """
    return _accumulated(fn, z, 0)


def hyperdual_columns(fn: Function, z: jax.Array) -> PointDerivatives:
    """Forward accumulation in which a dense layer is one product, W^T [value, J, D].

    For a batch with the rows as the last axis of every intermediate (see `_rows_last`): these
    columns are then as many as fill vector registers, whatever the width of the layer.
    """
    return _accumulated(fn, z, math.inf, columns=True)


def laplacian(fn: Function, z: jax.Array) -> PointDerivatives:
    """Forward accumulation of sum_i D[j, i], (m,), without the single D[j, i] (2 + k passes).

    The forward Laplacian of Li et al., Nature Machine Intelligence 6, 2024.
    """
    return _traced(*_accumulated(fn, z, math.inf, laplacian=True))


def laplacian_adjoint(fn: Function, z: jax.Array) -> PointDerivatives:
    """Adjoint accumulation of sum_i D[j, i]: each source is summed before it is contracted."""
    return _traced(*_accumulated(fn, z, 0, laplacian=True))


def laplacian_columns(fn: Function, z: jax.Array) -> PointDerivatives:
    """As `laplacian`, with a dense layer as one product."""
    return _traced(*_accumulated(fn, z, math.inf, laplacian=True, columns=True))


def _traced(value: jax.Array, jacobian: jax.Array, trace: jax.Array) -> PointDerivatives:
    return value, jacobian, trace[:, 0]


def _accumulated(
    fn: Function, z: jax.Array, cut: float, laplacian: bool = False, columns: bool = False
) -> PointDerivatives:
    """Return value, J and D, the last of shape (m, 1) if it is summed over the directions."""
    closed = jax.make_jaxpr(fn)(z)
    # Whether arrays of unlike ranks may meet is the user's to set for `fn`, not for what is here.
    with jax.numpy_rank_promotion("allow"):
        return _interpreted(closed, z, cut, laplacian, columns)


def _interpreted(
    closed: core.ClosedJaxpr, z: jax.Array, cut: float, laplacian: bool, columns: bool
) -> PointDerivatives:
    m = closed.out_avals[0].shape[0]
    share = share_of_range(closed, z.dtype)
    stepwise = share > SHARE_FOR_SQUARES
    if stepwise:
        cut = math.inf
    elif (waist := find_waist(closed)) is not None:
        return _through(waist, z, cut, laplacian, columns)
    # Products of weights are formed before phi'' meets them: not near the ends of the range.
    last = last_layers(closed) if share <= _SHARE_OF_LAST_LAYERS else frozenset[int]()
    while True:
        accumulation = Accumulation(m, cut, laplacian, columns, stepwise, last)
        try:
            start = Node(z, identity(z))
            operands = [as_active(start)]
            (result,) = interpret(closed.jaxpr, closed.consts, operands, accumulation)
            if not isinstance(result, Active):
                zeros = jnp.zeros((m, z.size), result.dtype)
                return result, zeros, zeros[:, :1] if laplacian else zeros
            return _finished(start, result.as_node(accumulation), accumulation)
        except Irreversible as stop:
            cut = stop.step + 1


def _through(
    waist: Waist, z: jax.Array, cut: float, laplacian: bool, columns: bool
) -> PointDerivatives:
    """Return value, J and D by the chain rule of `_waist`."""
    numbers, slopes, curvatures = _accumulated(waist.before, z, cut, columns=columns)

    def gradients(numbers: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        value, of_each = _gradients(waist.behind, numbers)
        return of_each, (value, of_each)

    hessians, (value, of_each) = jax.jacfwd(gradients, has_aux=True)(numbers)
    # What is not finite at the waist spoils the outputs that depend on it; not, by a sum, others.
    reached = (of_each != 0) | (hessians != 0).any(axis=2)
    infinite = ~jnp.isfinite(slopes + curvatures)
    # Of a linear waist the slopes are those of all rows, in one product.
    product = jnp.matmul if waist.linear else _product_of_a_row
    spoilt = product(reached.astype(z.dtype), infinite.astype(z.dtype)) > 0
    slopes, curvatures = (jnp.where(jnp.isfinite(a), a, 0) for a in (slopes, curvatures))
    jacobian = jnp.where(spoilt, jnp.nan, product(of_each, slopes))
    if waist.linear:  # as of a `Source` that is the same for all rows, the squares are formed once
        left, right = np.triu_indices(waist.width)
        once = jnp.where(left == right, 1, 2).astype(z.dtype)
        hessian_diag = product(hessians[:, left, right] * once, slopes[left] * slopes[right])
    else:  # with H J first, large meets small, as in JAX's nested jvp
        pushed = [product(hessians[:, at], slopes) * slopes[at] for at in range(waist.width)]
        hessian_diag = functools.reduce(jnp.add, pushed) + product(of_each, curvatures)
    hessian_diag = jnp.where(jnp.isfinite(jacobian), hessian_diag, jnp.nan)
    return value, jacobian, hessian_diag.sum(-1, keepdims=True) if laplacian else hessian_diag


def _product_of_a_row(left: jax.Array, right: jax.Array) -> jax.Array:
    if left.shape[1] > _FEW_TERMS:
        return left @ right
    return functools.reduce(jnp.add, [left[:, [at]] * right[at] for at in range(left.shape[1])])


def _gradients(fn: Function, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return value (m,) and J (m, k), by a program that JAX differentiates rightly.

    Forward: a reverse sweep leaves out what meets a cotangent of zero, and that depends on z, too.
    """
    closed = jax.make_jaxpr(fn)(z)
    accumulation = Accumulation(closed.out_avals[0].size, math.inf)
    start = as_active(Node(z, identity(z)))
    (result,) = interpret(closed.jaxpr, closed.consts, [start], accumulation)
    if not isinstance(result, Active):
        return result, jnp.zeros((result.size, z.size), z.dtype)
    node = result.as_node(accumulation)
    return node.value, flatten(node.jacobian).T


def _finished(start: Node, node: Node, accumulation: Accumulation) -> PointDerivatives:
    m, dtype, directions = accumulation.outputs, node.value.dtype, start.value.size
    jacobian = flatten(node.jacobian).T
    if accumulation.forward:
        hessian_diag = None if node.hessian_diag is None else flatten(node.hessian_diag).T
    else:
        cotangents, hessian_diag = accumulation.reverse([(node, jnp.eye(m, dtype=dtype))])
        whole = accumulation.cut == 0 and accumulation.reversible and id(start) in cotangents
        if hessian_diag is None and whole and m < directions:
            # Linear in pieces: the reverse sweep has all of J, and nobody needs it forward.
            jacobian = cotangents[id(start)].astype(dtype)
    if hessian_diag is None:
        hessian_diag = jnp.zeros((m, 1 if accumulation.laplacian else directions), dtype)
    elif not accumulation.forward:
        # The reverse sweep skips what is infinite, to keep it from what does not depend on it.
        finite = jnp.isfinite(jacobian)
        finite = finite.all(axis=1, keepdims=True) if accumulation.laplacian else finite
        hessian_diag = jnp.where(finite, hessian_diag, jnp.nan)
    return node.value, jacobian, hessian_diag
