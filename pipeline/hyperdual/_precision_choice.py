"""Which precision of matrix products is fastest on this device, of those that are exact enough."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ._checks import checked_directions
from ._choice import Choice
from ._derivatives import Bundle, Derivatives, derivatives
from ._jaxpr import shape_of
from ._numerics import numerics
from ._precision import HIGHEST, device_precisions
from ._tuner import seconds_of, timed_rows
from ._verify import reference, relative_error

# The part of the tolerance that may be used up at some points: at others errors may be larger.
_PART = 0.5
# So many times the error of full precision, where that is large, is no loss by a lower one.
_AS_BAD = 2
# Of an output's largest entry: errors of less than the tolerance of this are of no interest.
_FLOOR = 1e-4
# How often each precision is timed, in turn.
_TURNS = 5


def choose_precision(
    fn: Callable[..., Any],
    n_inputs: int,
    choice: Choice,
    points: np.ndarray,
    tolerance: float,
    wrt: Sequence[int] | None = None,
    outputs: Sequence[str] = Derivatives._fields,
    double: Callable[..., Any] | None = None,
    candidates: Sequence[str] | None = None,
) -> str:
    """Return the precision with which float32 derivatives are computed fastest here.

    Args:
        fn, n_inputs, wrt, outputs: as `derivatives` takes them.
        choice: the method and the tile.
        points: (rows, n), float64: typical ones.
        tolerance: for each output and direction, relative to its largest entry at these points, how
            large errors may be anywhere; here, half of it.
        double: as `reference` takes it.
        candidates: precisions besides the highest; None: those that the device has.

    Raises:
        ValueError, TypeError, MethodError, RuleError: as `derivatives` and `reference`.
    """
    names = device_precisions() if candidates is None else candidates
    names = [name for name in names if name != HIGHEST]
    if not names:
        return HIGHEST
    bundles = {
        name: derivatives(
            fn, n_inputs, choice.method, wrt, "float32", choice.tile, outputs, precision=name
        )
        for name in (HIGHEST, *names)
    }
    computed = {name: bundle(points) for name, bundle in bundles.items()}
    expected = reference(fn, n_inputs, wrt, outputs, "float32", double)(points)
    exact = exact_enough(computed, expected, tolerance)
    if exact == [HIGHEST]:
        return HIGHEST
    with numerics("float32"):
        directions = checked_directions(wrt, n_inputs).size
        shape = shape_of(fn, n_inputs, directions, "float32", None)
    rows = np.resize(points, (timed_rows(shape.row_bytes, choice.tile), n_inputs))
    return _fastest({name: bundles[name] for name in exact}, rows.astype(np.float32))


def exact_enough(computed: dict[str, Any], expected: Any, tolerance: float) -> list[str]:
    """Return which precisions err by less than half the tolerance, or as the highest does.

    Args:
        computed: the derivatives by each, "highest" among them.
        expected: the same in float64.
        tolerance: as `choose_precision` takes it.
    """
    limits = []
    for full, right in zip(computed[HIGHEST], expected, strict=True):
        limits.append(np.maximum(_PART * tolerance, _AS_BAD * _errors(full, right)))
    return [
        name
        for name, arrays in computed.items()
        if name == HIGHEST
        or all(
            (_errors(array, right) <= limit).all()
            for array, right, limit in zip(arrays, expected, limits, strict=True)
        )
    ]


def _errors(array: Any, right: Any) -> np.ndarray:
    """Return relative errors; 0 for points at which what is right is not finite."""
    array, right = np.asarray(array, np.float64), np.asarray(right)
    others = tuple(range(1, right.ndim))
    finite = np.isfinite(right).all(axis=others, keepdims=True)
    right = np.where(finite, right, 0)
    largest = np.abs(right).max(axis=0, keepdims=True)
    scale = np.maximum(largest, _FLOOR * largest.max(axis=others[1:], keepdims=True))
    with np.errstate(invalid="ignore"):
        return relative_error(np.where(finite, np.abs(array - right), 0), scale)


def _fastest(bundles: dict[str, Bundle], points: np.ndarray) -> str:
    """Return which bundle takes least time; what the machine does meanwhile is not to decide."""
    seconds = dict.fromkeys(bundles, math.inf)
    for bundle in bundles.values():
        jax.block_until_ready(bundle(points))
    for _ in range(_TURNS):
        for name, bundle in bundles.items():
            seconds[name] = min(seconds[name], seconds_of(bundle, points))
    return min(seconds, key=lambda name: seconds[name])
