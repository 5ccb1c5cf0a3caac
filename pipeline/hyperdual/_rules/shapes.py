"""Primitives that move whole axes or blocks: transpose, concatenate, pad, ...; all linear."""

from typing import Any

from .._active import Active, Joined
from .._equation import Equation
from .._registry import register
from .linear import all_axes_but, linear_in, rank


@register("broadcast_in_dim", parameters=("shape", "broadcast_dimensions", "sharding"))
def broadcast_in_dim(equation: Equation) -> list[Any]:
    """Repeat along new axes, and along axes of size one.

    Axis i of the operand is axis broadcast_dimensions[i] of the result. Directions stay tied to an
    axis that keeps its size; one that is stretched holds the same entry over and over.

    >>> derive(lambda x: lax.broadcast_in_dim(x**3, (2, 2), (0,)).reshape(4), [1, 2])
    value (4,)    [1, 1, 8, 8]
    J     (4, 2)  [[3, 0], [3, 0], [0, 12], [0, 12]]
    D     (4, 2)  [[6, 0], [6, 0], [0, 12], [0, 12]]

    Operands: the array. Parameters: shape, broadcast_dimensions, sharding.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.broadcast_in_dim.html
    """
    shape, sizes = equation.params["shape"], equation.values[0].shape
    to = dict(enumerate(equation.params["broadcast_dimensions"]))
    mapped = {axis: to[axis] for axis in to if sizes[axis] == shape[to[axis]]}
    return linear_in(equation, (0,), mapped)


@register("squeeze", parameters=("dimensions",))
def squeeze(equation: Equation) -> list[Any]:
    """Drop axes of size one.

    >>> derive(lambda x: lax.squeeze(x[:, None] ** 2, (1,)), [1, 2])
    value (2,)    [1, 4]
    J     (2, 2)  [[2, 0], [0, 4]]
    D     (2, 2)  [[2, 0], [0, 2]]

    Operands: the array. Parameters: dimensions.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.squeeze.html
    """
    dropped = {axis % rank(equation) for axis in equation.params["dimensions"]}
    kept = [axis for axis in range(rank(equation)) if axis not in dropped]
    return linear_in(equation, None, {axis: to for to, axis in enumerate(kept)})


@register("transpose", parameters=("permutation",))
def transpose(equation: Equation) -> list[Any]:
    """Reorder the axes: axis permutation[i] of the operand is axis i of the result.

    >>> derive(lambda x: lax.transpose(x.reshape(2, 2) ** 2, (1, 0)).reshape(4), [1, 2, 3, 4])
    value (4,)    [1, 9, 4, 16]
    J     (4, 4)  [[2, 0, 0, 0], [0, 0, 6, 0], [0, 4, 0, 0], [0, 0, 0, 8]]
    D     (4, 4)  [[2, 0, 0, 0], [0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 0, 2]]

    Operands: the array. Parameters: permutation.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.transpose.html
    """
    mapped = {axis: to for to, axis in enumerate(equation.params["permutation"])}
    return linear_in(equation, None, mapped)


@register("rev", parameters=("dimensions",))
def rev(equation: Equation) -> list[Any]:
    """Turn axes round, last position first.

    >>> derive(lambda x: lax.rev(x**2, (0,)), [1, 2])
    value (2,)    [4, 1]
    J     (2, 2)  [[0, 4], [2, 0]]
    D     (2, 2)  [[0, 2], [2, 0]]

    Operands: the array. Parameters: dimensions.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.rev.html
    """
    return linear_in(equation, None, all_axes_but(equation, equation.params["dimensions"]))


@register("concatenate", parameters=("dimension",))
def concatenate(equation: Equation) -> list[Any]:
    """Join arrays one after the other along an axis; what does not depend on x has J = D = 0.

    >>> derive(lambda x: lax.concatenate([x**2, jnp.ones(1), x], 0), [1, 2])
    value (5,)    [1, 4, 1, 1, 2]
    J     (5, 2)  [[2, 0], [0, 4], [0, 0], [1, 0], [0, 1]]
    D     (5, 2)  [[2, 0], [0, 2], [0, 0], [0, 0], [0, 0]]

    Operands: any number of arrays. Parameters: dimension.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.concatenate.html
    """
    dimension = equation.params["dimension"]
    (result,) = linear_in(equation, None, all_axes_but(equation, [dimension]))
    if isinstance(result, Active):
        result.joined = Joined(equation.operands, dimension)
    return [result]


@register("split", parameters=("sizes", "axis"))
def split(equation: Equation) -> list[Any]:
    """Cut into consecutive parts along an axis: several results.

    >>> def product_of_parts(x):
    ...     first, second = lax.split(x, (1, 1))
    ...     return first**2 * second
    >>> derive(product_of_parts, [3, 2])
    value (1,)    [18]
    J     (1, 2)  [[12, 9]]
    D     (1, 2)  [[4, 0]]

    Operands: the array. Parameters: sizes, axis.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.split.html
    """
    return linear_in(equation, None, all_axes_but(equation, [equation.params["axis"]]))


@register("pad", parameters=("padding_config",))
def pad(equation: Equation) -> list[Any]:
    """Put a value before, after and between the entries of an axis; negative widths cut.

    >>> derive(lambda x: lax.pad(x[:2] ** 2, x[2], [(1, 0, 0)]), [1, 2, 5])
    value (3,)    [5, 1, 4]
    J     (3, 3)  [[0, 0, 1], [2, 0, 0], [0, 4, 0]]
    D     (3, 3)  [[0, 0, 0], [2, 0, 0], [0, 2, 0]]

    Operands: the array, the padding value; linear in both together. Parameters: padding_config,
    (before, after, between) for each axis.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.pad.html
    """
    widths = equation.params["padding_config"]
    padded = [axis for axis, of_axis in enumerate(widths) if tuple(of_axis) != (0, 0, 0)]
    mapped = {axis: axis for axis in range(len(widths)) if axis not in padded}
    return linear_in(equation, (0, 1), mapped)
