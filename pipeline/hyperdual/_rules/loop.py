"""A loop of known length over hyper-dual numbers, whole or in parts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._interpret import HyperDual
from .control_flow import carry_fixpoint, instantiate_zeros

Body = Callable[[Sequence[HyperDual]], list[HyperDual]]


class Part(NamedTuple):
    """Iterations that follow one another.

    Attributes:
        start, end: their positions in the arrays that the loop goes over.
        directions: those that may be other than zero by the end of them.
    """

    start: int
    end: int
    directions: slice


def loop(
    body: Body,
    consts: Sequence[HyperDual],
    init: Sequence[HyperDual],
    xs: Sequence[HyperDual],
    options: dict[str, Any],
) -> tuple[list[HyperDual], list[HyperDual]]:
    """Run a body of hyper-dual numbers; directions go after the axis of the loop.

    Returns:
        The last carry, and what the iterations return beyond it, stacked (`ys`).
    """
    stacked = [_swapped(number) for number in xs]
    count = len(init)

    def carry_after(carry: Sequence[HyperDual]) -> list[HyperDual]:
        x = jax.tree.map(lambda array: jnp.zeros(array.shape[1:], array.dtype), stacked)
        return body([*consts, *carry, *x])[:count]

    init = carry_fixpoint(carry_after, init)

    def step(carry: Sequence[HyperDual], x: Sequence[HyperDual]) -> tuple[Any, Any]:
        results = body([*consts, *carry, *x])
        after = [
            instantiate_zeros(number, shape)
            for number, shape in zip(results[:count], init, strict=True)
        ]
        return after, results[count:]

    carry, ys = lax.scan(step, init, stacked, **options)
    return carry, [_swapped(number) for number in ys]


def loop_in_parts(
    body: Body,
    consts: Sequence[HyperDual],
    init: Sequence[HyperDual],
    xs: Sequence[HyperDual],
    options: dict[str, Any],
    parts: Sequence[Part],
) -> tuple[list[HyperDual], list[HyperDual]]:
    """Run a loop in parts, each along the directions that have been met by its end.

    Args:
        parts: in the order in which they run. If they are several, only `xs` have derivatives.

    Returns:
        As `loop`.
    """
    if len(parts) == 1:
        return loop(body, consts, init, xs, options)
    k = next(number.jacobian.shape[0] for number in xs if number.jacobian is not None)
    carry, met = list(init), range(0)
    stacked: list[tuple[int, list[HyperDual]]] = []
    for start, end, directions in parts:
        before, met = met, range(k)[directions]
        of_part = [
            HyperDual(
                number.value[start:end],
                *(
                    None if array is None else _cut(array, k, directions)[:, start:end]
                    for array in number[1:]
                ),
            )
            for number in xs
        ]
        carry = [_widened(number, before, met) for number in carry]
        carry, ys = loop(body, consts, carry, of_part, options | {"length": end - start})
        stacked.append((start, [_widened(number, met, range(k)) for number in ys]))
    in_order = [ys for _, ys in sorted(stacked, key=lambda each: each[0])]
    return carry, [_concatenated(numbers) for numbers in zip(*in_order, strict=True)]


def _cut(array: jax.Array, k: int, directions: slice) -> jax.Array:
    """Return some directions of J or D; a Laplacian, which has one, as it is."""
    return array[directions] if array.shape[0] == k else array


def _widened(number: HyperDual, before: range, after: range) -> HyperDual:
    """Return a number with zeros for the directions that it did not have yet."""
    more = (before.start - after.start, after.stop - before.stop) if before else (0, 0)
    return HyperDual(
        number.value,
        *(
            array
            if array is None or array.shape[0] != len(before)
            else jnp.pad(array, (more, *[(0, 0)] * (array.ndim - 1)))
            for array in number[1:]
        ),
    )


def _concatenated(numbers: Sequence[HyperDual]) -> HyperDual:
    """Return the same results of all parts as one array: its first axis, after k, is the loop's."""
    values, jacobians, hessian_diags = zip(*numbers, strict=True)
    return HyperDual(
        jnp.concatenate(values),
        *(
            None if arrays[0] is None else jnp.concatenate(arrays, axis=1)
            for arrays in (jacobians, hessian_diags)
        ),
    )


def _swapped(number: HyperDual) -> HyperDual:
    """Exchange the axis of the loop and that of the directions, in J and D."""
    value, *derivatives = number
    return HyperDual(
        value, *(None if array is None else jnp.swapaxes(array, 0, 1) for array in derivatives)
    )
