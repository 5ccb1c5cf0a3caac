"""reshape: the entries stay in order, the axes change."""

import math
from collections.abc import Sequence
from typing import Any

from .._equation import Equation
from .._registry import register
from .._tangent import Tangent, untie
from .linear import linear_in, no_axis


@register("reshape", parameters=("new_sizes", "dimensions", "sharding"))
def reshape(equation: Equation) -> list[Any]:
    """Arrange the entries, in their order, along other axes; linear.

    Axes of the operand and of the result are matched in groups of equal size: (6, 4, 5) -> (6, 20)
    has the groups 6 -> 6 and (4, 5) -> 20. An axis that stays alone keeps its tie. Where all axes
    of a group are tied, to direction axes that follow one another, the directions are factored as
    the axes now are: x, shape (32,), with the identity as its Jacobian, reshaped to (8, 4) has
    `sizes=(8, 4)` (see `Tangent`). With `dimensions` the axes are reordered first, and no direction
    stays tied. Products of two pairs, (4,) -> (2, 2) -> (2,):

    >>> derive(lambda x: jnp.prod(x.reshape(2, 2) ** 2, axis=1), [1, 2, 1, 3])
    value (2,)    [4, 9]
    J     (2, 4)  [[8, 4, 0, 0], [0, 0, 18, 6]]
    D     (2, 4)  [[8, 2, 0, 0], [0, 0, 18, 2]]

    Operands: the array. Parameters: new_sizes, dimensions, sharding.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.reshape.html
    """
    if equation.params.get("dimensions") is not None:
        return linear_in(equation, None, no_axis(equation))
    shape = tuple(equation.params["new_sizes"])

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        (tangent,) = tangents
        assert tangent is not None
        return [reshaped(tangent, shape)]

    return equation.record(push, lambda jacobians: [[]], linear=True)


def reshaped(tangent: Tangent, shape: tuple[int, ...]) -> Tangent:
    """Return the derivatives of the reshaped intermediate."""
    sizes, ties = list(tangent.sizes), list(tangent.ties)
    lost: list[int] = []
    before = tangent.data.shape[tangent.free :]
    for old, new in _groups(before, shape):
        tied = [axis for axis in old if axis in tangent.ties]
        if not tied:
            continue
        large_old = [axis for axis in old if before[axis] != 1]
        large_new = [axis for axis in new if shape[axis] != 1]
        at = sorted(ties.index(axis) for axis in tied)
        in_order = [ties[which] for which in at] == old and at[-1] - at[0] == len(at) - 1
        if len(large_old) == len(large_new) == 1 and tied == large_old:
            # Negative for now: an axis of the result, not to be taken for one of S.
            ties[at[0]] = -1 - large_new[0]
        elif in_order and new:
            ties[at[0] : at[-1] + 1] = [-1 - axis for axis in new]
            sizes[at[0] : at[-1] + 1] = [shape[axis] for axis in new]
        else:
            lost += tied
    # What is lost is untied while the axes are still those of S: untying keeps the sizes.
    untied = untie(tangent, lost)
    ties = [None if axis is None or axis in lost else -1 - axis for axis in ties]
    return Tangent(
        untied.data.reshape(*untied.data.shape[: untied.free], *shape), tuple(sizes), tuple(ties)
    )


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Match axes in groups of equal size, each as small as can be."""
    if 0 in before:
        return [(list(range(len(before))), [])]
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before):
        old, new = [i], [j] if j < len(after) else []
        i, j = i + 1, j + len(new)
        while math.prod(before[a] for a in old) != math.prod(after[a] for a in new):
            if math.prod(before[a] for a in old) < math.prod(after[a] for a in new):
                old.append(i)
                i += 1
            else:
                new.append(j)
                j += 1
        groups.append((old, new))
    if groups and j < len(after):  # trailing axes of size one
        groups[-1][1].extend(range(j, len(after)))
    return groups
