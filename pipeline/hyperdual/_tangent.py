"""Derivatives of one intermediate along every direction, stored without their zeros.

There are k directions, one for each input that is differentiated with respect to. Factor k into
`sizes`, say k = 8 tokens x 4 features; a direction is then a multi-index, one *direction axis* for
each factor. A direction axis is either

* free: an axis of the stored array, before the axes of the intermediate; or
* tied to an axis of the intermediate: direction i moves only the entries at position i of that
  axis, so that one array without the direction axis holds everything.

Example: an elementwise function of x, shape (n,), has a diagonal Jacobian: `sizes=(n,)`,
`ties=(0,)`, and an array of shape (n,) instead of (n, n). Reshaped to 8 tokens of 4 features it is
`sizes=(8, 4)`, `ties=(0, 1)`; after a matrix product over the features (4 -> 64) it is
`sizes=(8, 4)`, `ties=(0, None)`, an array of shape (4, 8, 64) instead of (32, 8, 64): an eighth of
the work. Attention, which mixes the tokens, unties the rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Tangent:
    """Derivatives of an intermediate of shape S along k directions.

    Attributes:
        data: shape (the sizes of the free direction axes, in order; then S).
        sizes: the factors of k, one for each direction axis, most significant first.
        ties: for each direction axis the axis of S that it is tied to, or None if it is free.
        order: 1 where the directions, in as many blocks as the first axis of S is long, move no
            entry before the position of their block, -1 where none after it; 0: not known.
    """

    data: jax.Array
    sizes: tuple[int, ...]
    ties: tuple[int | None, ...]
    order: int = 0

    @property
    def free(self) -> int:
        """The number of free direction axes."""
        return self.ties.count(None)

    @property
    def structure(self) -> tuple:
        """What two tangents must share to be added entry by entry."""
        return self.sizes, self.ties


def dense(data: jax.Array) -> Tangent:
    """Return the tangent whose directions are the first axis of `data`."""
    return Tangent(data, (data.shape[0],), (None,))


def identity(x: jax.Array) -> Tangent:
    """Return the tangent of x, shape (n,), along its own n entries."""
    return Tangent(jnp.ones_like(x), x.shape, (0,))


def untie(tangent: Tangent, axes: Sequence[int] | None = None) -> Tangent:
    """Return the same derivatives with the given axes of S (default: all) no longer tied."""
    data, ties = tangent.data, list(tangent.ties)
    for which, axis in enumerate(tangent.ties):
        if axis is None or (axes is not None and axis not in axes):
            continue
        lead = ties[:which].count(None)
        size, rank = tangent.sizes[which], data.ndim + 1
        # 1 where the position on the new axis is the position on the tied one.
        position = rank - (data.ndim - ties.count(None)) + axis
        shape = [1] * rank
        shape[lead], shape[position] = size, size
        eye = jnp.eye(size, dtype=bool).reshape(shape)
        data = jnp.where(eye, jnp.expand_dims(data, lead), jnp.zeros((), data.dtype))
        ties[which] = None
    return Tangent(data, tangent.sizes, tuple(ties))


def flatten(tangent: Tangent) -> jax.Array:
    """Return the derivatives as one dense array of shape (k, *S)."""
    untied = untie(tangent)
    shape = untied.data.shape[untied.free :]
    return untied.data.reshape(math.prod(untied.sizes), *shape)


def meet(tangents: Sequence[Tangent]) -> list[Tangent]:
    """Return tangents of intermediates of one rank, untied as far as a common structure asks."""
    first = tangents[0]
    if all(tangent.structure == first.structure for tangent in tangents):
        return list(tangents)
    if any(tangent.sizes != first.sizes for tangent in tangents):
        return [dense(flatten(tangent)) for tangent in tangents]
    met = []
    for tangent in tangents:
        apart = [
            axis
            for which, axis in enumerate(tangent.ties)
            if any(other.ties[which] != axis for other in tangents)
        ]
        met.append(untie(tangent, [axis for axis in apart if axis is not None]))
    return met


def add(tangents: Sequence[Tangent]) -> Tangent | None:
    """Return the sum; None, the structural zero, for an empty sequence."""
    if not tangents:
        return None
    total, *rest = meet(tangents)
    for tangent in rest:
        total = Tangent(total.data + tangent.data, total.sizes, total.ties)
    return total


def scale(tangent: Tangent, factor: jax.Array | None) -> Tangent:
    """Multiply entry by entry by `factor` of shape S (None: by one)."""
    if factor is None:
        return tangent
    return Tangent(tangent.data * factor, tangent.sizes, tangent.ties)


def select(tangent: Tangent, kept: jax.Array | None) -> Tangent:
    """Return zero where `kept`, of shape S, is false (None: nowhere), even for what is infinite."""
    if kept is None:
        return tangent
    data = jnp.where(kept, tangent.data, jnp.zeros((), tangent.data.dtype))
    return Tangent(data, tangent.sizes, tangent.ties)


def finite(tangent: Tangent) -> Tangent:
    """Return zero for what is infinite or no number."""
    data = jnp.where(jnp.isfinite(tangent.data), tangent.data, jnp.zeros((), tangent.data.dtype))
    return Tangent(data, tangent.sizes, tangent.ties)


def product(left: Tangent, right: Tangent) -> Tangent:
    """Multiply two tangents entry by entry, direction by direction."""
    left, right = meet([left, right])
    return Tangent(left.data * right.data, left.sizes, left.ties)


def total(tangent: Tangent) -> Tangent:
    """Return the sum over all directions, as a tangent along one."""
    return dense(tangent.data.sum(axis=tuple(range(tangent.free)))[None])


def push(
    fn: Callable[..., Sequence[jax.Array]], tangents: Sequence[Tangent], mapped: Mapping[int, int]
) -> list[Tangent]:
    """Apply a function that is linear in its arguments together to every direction.

    Args:
        fn: takes one array for each tangent, of its S; returns several arrays.
        tangents: what to apply it to. Those of different ranks are made dense.
        mapped: {axis of S: axis of the results} for the axes along which `fn` treats each position
            by itself, and all alike. Directions tied to other axes are untied first.
    """
    if len({tangent.data.ndim - tangent.free for tangent in tangents}) > 1:
        tangents = [dense(flatten(tangent)) for tangent in tangents]
    tangents = [
        untie(tangent, [axis for axis in tangent.ties if axis is not None and axis not in mapped])
        for tangent in meet(tangents)
    ]
    sizes, ties, free = tangents[0].sizes, tangents[0].ties, tangents[0].free
    ties = tuple(None if axis is None else mapped[axis] for axis in ties)
    if not free:
        return [Tangent(data, sizes, ties) for data in fn(*(t.data for t in tangents))]
    lead = tangents[0].data.shape[:free]
    # All free direction axes as one: the shape that matrix products are best at.
    count = math.prod(lead)
    folded = [tangent.data.reshape(count, *tangent.data.shape[free:]) for tangent in tangents]
    return [
        Tangent(pushed.reshape(*lead, *pushed.shape[1:]), sizes, ties)
        for pushed in jax.vmap(fn)(*folded)
    ]


def push_over(
    fn: Callable[[jax.Array], jax.Array],
    tangent: Tangent,
    summed: Sequence[int],
    mapped: Mapping[int, int],
) -> Tangent:
    """Apply a linear function that sums over axes which directions are tied to.

    Of such a sum only the term of the direction itself is left, sum_s [i = s] t[s] = t[i]: the axis
    becomes a free direction axis, and nothing is added up.

    Args:
        fn: maps one array of shape S to the result, with the axes `summed` not summed but first.
        tangent: what to apply it to; directions are tied to all of `summed`.
        summed: axes of S.
        mapped: as in `push`, for the other axes.
    """
    tangent = untie(
        tangent,
        [a for a in tangent.ties if a is not None and a not in mapped and a not in summed],
    )
    ties, free = tangent.ties, tangent.free
    lead = tangent.data.shape[:free]
    folded = tangent.data.reshape(math.prod(lead), *tangent.data.shape[free:])
    data = jax.vmap(fn)(folded) if free else fn(tangent.data)[None]
    data = data.reshape(*lead, *data.shape[1:])
    # The free axes so far, then the new ones; put in the order of the directions.
    order = [which for which, axis in enumerate(ties) if axis is None]
    order += [ties.index(axis) for axis in summed]
    data = jnp.transpose(data, [*np.argsort(order), *range(len(order), data.ndim)])
    left = tuple(None if axis is None or axis in summed else mapped[axis] for axis in ties)
    return Tangent(data, tangent.sizes, left)


def contract(cotangents: jax.Array, tangent: Tangent) -> jax.Array:
    """Return sum_u cotangents[j, u] tangent[i, u], shape (m, k), for cotangents (m, *S)."""
    rank = cotangents.ndim - 1
    axes = list(range(rank))
    free = iter(range(rank, rank + tangent.free))
    stored = [*range(rank, rank + tangent.free), *axes]
    result = [next(free) if axis is None else axis for axis in tangent.ties]
    output = 2 * rank + tangent.free  # a label that nothing else has
    if not any(axis in axes for axis in result):
        # Nothing is tied: one plain matrix product.
        data = tangent.data.reshape(math.prod(tangent.sizes), -1)
        return cotangents.reshape(cotangents.shape[0], -1) @ data.T
    summed = jnp.einsum(cotangents, [output, *axes], tangent.data, stored, [output, *result])
    return summed.reshape(cotangents.shape[0], math.prod(tangent.sizes))
