"""Primitives that take entries out and put entries in, at fixed or computed places.

Linear in what they take from or put in; the places are integers, which have no derivative.
"""

from typing import Any

from .._equation import Equation
from .._registry import register
from .linear import linear_in, no_axis


@register("slice", parameters=("start_indices", "limit_indices", "strides"))
def slice_(equation: Equation) -> list[Any]:
    """Take a block, or every few entries of one; an axis that is taken whole keeps its ties.

    >>> derive(lambda x: lax.slice(x**2, (1,), (3,)), [1, 2, 3])
    value (2,)    [4, 9]
    J     (2, 3)  [[0, 4, 0], [0, 0, 6]]
    D     (2, 3)  [[0, 2, 0], [0, 0, 2]]

    Operands: the array. Parameters: start_indices, limit_indices, strides.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.slice.html
    """
    (result,) = equation.result_types
    sizes = zip(equation.values[0].shape, result.shape, strict=True)
    mapped = {axis: axis for axis, (before, after) in enumerate(sizes) if before == after}
    return linear_in(equation, None, mapped)


@register("dynamic_slice")
def dynamic_slice(equation: Equation) -> list[Any]:
    """Take a block of fixed size that starts at computed places.

    >>> derive(lambda x: lax.dynamic_slice(x**2, (jnp.argmin(x),), (2,)), [2, 1, 3])
    value (2,)    [1, 9]
    J     (2, 3)  [[0, 2, 0], [0, 0, 6]]
    D     (2, 3)  [[0, 2, 0], [0, 0, 2]]

    Operands: the array, then a start for each axis. Parameters: slice_sizes.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.dynamic_slice.html
    """
    return linear_in(equation, (0,), no_axis(equation))


@register("dynamic_update_slice")
def dynamic_update_slice(equation: Equation) -> list[Any]:
    """Replace a block that starts at computed places.

    >>> derive(lambda x: lax.dynamic_update_slice(x, x[:1] ** 2, (jnp.argmax(x),)), [3, 4, 1])
    value (3,)    [3, 9, 1]
    J     (3, 3)  [[1, 0, 0], [6, 0, 0], [0, 0, 1]]
    D     (3, 3)  [[0, 0, 0], [2, 0, 0], [0, 0, 0]]

    Operands: the array, the block, then a start for each axis; linear in the first two together.
    No parameters.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.dynamic_update_slice.html
    """
    return linear_in(equation, (0, 1), no_axis(equation))


@register("gather")
def gather(equation: Equation) -> list[Any]:
    """Take a block at each of many computed places; NumPy's indexing by arrays.

    >>> derive(lambda x: (x**2)[jnp.array([2, 0, 2])], [1, 2, 3])
    value (3,)    [9, 1, 9]
    J     (3, 3)  [[0, 0, 6], [2, 0, 0], [0, 0, 6]]
    D     (3, 3)  [[0, 0, 2], [2, 0, 0], [0, 0, 2]]

    Operands: the array, the places. Parameters: dimension_numbers, slice_sizes, unique_indices,
    indices_are_sorted, mode, fill_value.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.gather.html
    https://openxla.org/xla/operation_semantics#gather
    """
    return linear_in(equation, (0,), no_axis(equation))


@register("scatter-add")
def scatter_add(equation: Equation) -> list[Any]:
    """Add a block at each of many computed places; what lands on one place adds up.

    >>> derive(lambda x: jnp.zeros(2).at[jnp.array([1, 1])].add(x**2), [1, 2])
    value (2,)    [0, 5]
    J     (2, 2)  [[0, 0], [2, 4]]
    D     (2, 2)  [[0, 0], [2, 2]]

    Operands: the array, the places, the blocks; linear in the first and the last together.
    Parameters: update_jaxpr, update_consts, dimension_numbers, indices_are_sorted, unique_indices,
    mode.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.scatter_add.html
    https://openxla.org/xla/operation_semantics#scatter
    """
    return linear_in(equation, (0, 2), no_axis(equation))
