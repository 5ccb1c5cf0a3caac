"""Checking derivatives against an independent method in float64."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ._derivatives import AUTO, Bundle, Derivatives, derivatives
from ._methods import REFERENCE_METHODS, MethodError
from ._reason import reason


class Verification(NamedTuple):
    """The largest differences from the reference, each relative to an output's largest entry.

    Attributes:
        value, jacobian, hessian_diag: max over rows and directions |derived - reference| divided by
            max |reference|, of the worst output; 0 where both are zero everywhere.
    """

    value: float
    jacobian: float
    hessian_diag: float


def verify(
    fn: Callable[[jax.Array], jax.Array],
    x: Any,
    method: str = AUTO,
    wrt: Sequence[int] | None = None,
    dtype: str = "float32",
    tile: int | None = None,
) -> Verification:
    """Compare a method with an independent float64 reference at points `x`, (rows, n).

    The reference shares no step with this package's own methods: it nests JAX's transforms.

    Raises:
        ValueError, TypeError, MethodError, RuleError: as `derivatives`.
    """
    points = np.asarray(x, dtype)
    n_inputs = points.shape[-1]
    expected = reference(fn, n_inputs, wrt)(points)
    derived = derivatives(fn, n_inputs, method, wrt, dtype, tile)(points)
    return Verification(
        *(
            float(np.max(relative_error(_largest(a - b), _largest(b)), initial=0))
            for a, b in zip(_doubles(derived), _doubles(expected), strict=True)
        )
    )


def reference(
    fn: Callable[[jax.Array], jax.Array],
    n_inputs: int,
    wrt: Sequence[int] | None = None,
    outputs: Sequence[str] = Derivatives._fields,
) -> Bundle:
    """Return the float64 reference: the jvp of a jvp or, without forward mode, jvp of vjp.

    Raises:
        MethodError: if neither can differentiate the function.
    """
    reasons = []
    for method in REFERENCE_METHODS:
        bundle = derivatives(fn, n_inputs, method, wrt, "float64", outputs=outputs)
        try:
            jax.eval_shape(bundle, jax.ShapeDtypeStruct((1, n_inputs), np.float64))
        except Exception as error:  # JAX raises what it likes
            reasons.append(reason(error))
        else:
            return bundle
    raise MethodError(
        "nothing can check this function: the jvp of a jvp fails "
        f"({reasons[0]}), and so does the jvp of a vjp ({reasons[1]})"
    )


def _largest(array: np.ndarray) -> np.ndarray:
    """Return the largest magnitude for each output, (m,), of an array (rows, m, ...)."""
    return np.abs(array).max(axis=_but_outputs(array))


def relative_error(difference: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return difference / scale, 0 where both are zero (float32's underflow counts as zero)."""
    floor = 1e3 * np.finfo(np.float32).tiny
    return np.where(difference <= floor, 0.0, difference / np.maximum(scale, floor))


def _doubles(arrays: Derivatives) -> list[np.ndarray]:
    return [np.asarray(array, np.float64) for array in arrays]


def _but_outputs(array: np.ndarray) -> tuple[int, ...]:
    return tuple(axis for axis in range(array.ndim) if axis != 1)
