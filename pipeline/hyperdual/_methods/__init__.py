"""The methods, by the names that `method=` and `derivatives.method` take.

A new one is a function in a file of this folder and one entry in `METHODS`. Costs are in passes
through the network for one point with k inputs and m outputs.
"""

from .._jaxpr import ProgramShape
from .._rows_last import rows_last
from .jax_transforms import (
    dense_hessian,
    double_forward,
    forward_over_reverse,
    reverse_over_forward,
    reverse_over_reverse,
    taylor,
)
from .method import AtPoint, Function, Method, MethodError, PointDerivatives
from .own import (
    hyperdual,
    hyperdual_adjoint,
    hyperdual_columns,
    laplacian,
    laplacian_adjoint,
    laplacian_columns,
)

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "OWN_METHODS",
    "REFERENCE_METHODS",
    "AtPoint",
    "Function",
    "Method",
    "MethodError",
    "PointDerivatives",
]

# Below this many bytes of J for a row the plain method's lack of structure costs next to nothing.
_SMALL_ROW_BYTES = 2048


def _adjoint_turn(shape: ProgramShape) -> int | None:
    """Before forward accumulation where 1 + k + m passes are fewer than 1 + 2k, else after it.

    Loops can turn that round: what adjoint accumulation keeps of each iteration for the way back
    may not fit the cache, and it takes longest to compile.
    """
    if shape.outputs <= shape.directions and not shape.loops:
        return 1
    return 3 if shape.outputs <= 2 * shape.directions else None


def _columns_turn(shape: ProgramShape) -> int | None:
    # Where widths are awkward, 1.04 to 2.4 times as fast as `hyperdual`. Elsewhere mostly slower,
    # but up to three times as fast for small images and narrow layers.
    if shape.ragged:
        return 0
    return 5 if shape.on_cpu else None


def _double_forward_turn(shape: ProgramShape) -> int | None:
    # What JAX makes of a rule of one's own may differ (see `derivatives`): no matter for timing.
    small = shape.row_bytes <= _SMALL_ROW_BYTES
    return 4 if small and not shape.own_rules and not shape.ragged else None


METHODS: dict[str, Method] = {
    "hyperdual": Method(hyperdual, laplacian, own=True, turn=lambda shape: 2),
    "hyperdual_adjoint": Method(hyperdual_adjoint, laplacian_adjoint, own=True, turn=_adjoint_turn),
    "hyperdual_columns": Method(
        hyperdual_columns, laplacian_columns, batch=rows_last, own=True, turn=_columns_turn
    ),
    "double_forward": Method(double_forward, turn=_double_forward_turn),
    "taylor": Method(taylor),
    "forward_over_reverse": Method(forward_over_reverse),
    "reverse_over_forward": Method(reverse_over_forward),
    "reverse_over_reverse": Method(reverse_over_reverse),
    "dense_hessian": Method(dense_hessian),
}
OWN_METHODS = tuple(name for name, method in METHODS.items() if method.own)
# What is taken where nothing was chosen and nothing is to be timed: it can do whatever any can.
DEFAULT_METHOD = "hyperdual"
# What results are checked against: the first of these that can do the function.
REFERENCE_METHODS = ("double_forward", "forward_over_reverse", "reverse_over_reverse")
