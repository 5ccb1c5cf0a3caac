"""Products of concatenated arrays, of which some parts have no D.

Networks with skip connections multiply [x, h] with a matrix. J of x is the same for all rows, and
it has no D; joined with h it would be stored, and multiplied, as if it were neither. So

    [x, h] W = x W_x + h W_h,

where all parts without D make one product, and all others the second.
"""

from typing import Any

import jax
from jax import lax

from .._accumulation import Accumulation
from .._active import Active
from .._equation import Equation
from .._interpret import interpret

# Parts without D that are less of the whole than this do not pay for a product of their own.
_LEAST_SHARE = 0.2


def part_by_part(equation: Equation) -> list[Any] | None:
    """Return the results of a `dot_general` done part by part; None if it is to be done at once."""
    (contracted, _), params = equation.params["dimension_numbers"], equation.params
    if len(equation.active) != 1 or params["out_sharding"] is not None:
        return None
    (at,) = equation.active
    joined = equation.operands[at].joined
    if joined is None or contracted[at] != (joined.dimension,):
        return None
    (axis,) = contracted[1 - at]
    values = [part.value if isinstance(part, Active) else part for part in joined.parts]
    sizes = [value.shape[joined.dimension] for value in values]
    curved = [_is_curved(part, equation.accumulation) for part in joined.parts]
    straight = sum(size for size, bent in zip(sizes, curved, strict=True) if not bent)
    if not any(curved) or straight < _LEAST_SHARE * sum(sizes):
        return None
    starts = [sum(sizes[:number]) for number in range(len(sizes))]

    def product(other: jax.Array, *parts: jax.Array) -> jax.Array:
        terms = []
        for bent in (False, True):
            of_kind = [number for number, kind in enumerate(curved) if kind == bent]
            part = lax.concatenate([parts[number] for number in of_kind], joined.dimension)
            weights = [
                lax.slice_in_dim(other, starts[number], starts[number] + sizes[number], axis=axis)
                for number in of_kind
            ]
            matrix = lax.concatenate(weights, axis)
            left, right = (part, matrix) if at == 0 else (matrix, part)
            terms.append(
                lax.dot_general(
                    left,
                    right,
                    params["dimension_numbers"],
                    precision=params["precision"],
                    preferred_element_type=params["preferred_element_type"],
                )
            )
        return terms[0] + terms[1]

    operands = [equation.operands[1 - at], *joined.parts]
    types = map(jax.typeof, [equation.values[1 - at], *values])
    program = jax.make_jaxpr(product)(*types)
    return interpret(program.jaxpr, program.consts, operands, equation.accumulation)


def _is_curved(part: Any, accumulation: Accumulation) -> bool:
    return isinstance(part, Active) and part.as_node(accumulation).curved
