"""Checking derivatives against an independent method in float64."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from ._constants import same_constants, traced
from ._derivatives import AUTO, Bundle, Derivatives, derivatives
from ._jitted import Jitted
from ._methods import REFERENCE_METHODS, Function, MethodError
from ._reason import reason
from ._widened import narrows, widened


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
    fn: Function,
    x: Any,
    method: str = AUTO,
    wrt: Sequence[int] | None = None,
    dtype: str = "float32",
    tile: int | None = None,
) -> Verification:
    """Compare a method with an independent float64 reference at points `x`, (rows, n).

    The reference shares no step with this package's own methods: it nests JAX's transforms. It
    starts from `x` as it is given, so that what is lost where a point is rounded to `dtype` counts.

    Raises:
        ValueError, TypeError, MethodError, RuleError: as `derivatives`.
    """
    points = np.asarray(x, np.float64)
    n_inputs = points.shape[-1]
    expected = reference(fn, n_inputs, wrt, dtype=dtype)(points)
    derived = derivatives(fn, n_inputs, method, wrt, dtype, tile)(points)
    return Verification(
        *(
            float(np.max(relative_error(_largest(a - b), _largest(b)), initial=0))
            for a, b in zip(_doubles(derived), _doubles(expected), strict=True)
        )
    )


def reference(
    fn: Function,
    n_inputs: int,
    wrt: Sequence[int] | None = None,
    outputs: Sequence[str] = Derivatives._fields,
    dtype: str = "float64",
    double: Function | None = None,
) -> Bundle:
    """Return the float64 reference of a function that is derived in `dtype`.

    It is the jvp of a jvp or, without forward mode, the jvp of a vjp, or the vjp of a vjp. A
    function that is derived in float32 is traced in float64, where that is the same program with
    the same constants. Otherwise (code that names float32 fails there or rounds, random numbers are
    others there) the program in `dtype` is evaluated in float64.

    Args:
        fn, n_inputs, wrt, outputs: as `derivatives` takes them.
        dtype: in which `fn` is derived.
        double: the same function built for float64, whose constants may have more digits; None:
            `fn` is traced in float64 itself.

    Raises:
        MethodError: if neither can differentiate the function.
    """
    try:
        in_double = traced(double or fn, n_inputs, "float64")  # first: see `derivatives`
    except Exception:  # JAX raises what it likes
        in_double = None
    if (
        in_double is not None
        and (dtype == "float64" or same_constants(traced(fn, n_inputs, dtype), in_double))
        and not narrows(in_double)
    ):
        try:
            return _first_that_can(double or fn, n_inputs, wrt, outputs, "float64")
        except MethodError:
            if dtype == "float64":
                raise
    bundle = _first_that_can(fn, n_inputs, wrt, outputs, dtype)
    return Bundle(_Widened(bundle, dtype), n_inputs, "float64", bundle.choice, bundle.advice)


def _first_that_can(
    fn: Function, n_inputs: int, wrt: Sequence[int] | None, outputs: Sequence[str], dtype: str
) -> Bundle:
    reasons = []
    for method in REFERENCE_METHODS:
        try:
            bundle = derivatives(fn, n_inputs, method, wrt, dtype, outputs=outputs)
            jax.eval_shape(bundle, jax.ShapeDtypeStruct((1, n_inputs), np.float32))
        except Exception as error:  # as above
            cause: BaseException = error
            while isinstance(cause, MethodError) and cause.__cause__ is not None:
                cause = cause.__cause__
            reasons.append(reason(cause))
        else:
            return bundle
    raise MethodError(
        "nothing can check this function: the jvp of a jvp fails "
        f"({reasons[0]}), and so do the jvp of a vjp ({reasons[1]}) and the vjp of a vjp "
        f"({reasons[2]})"
    )


class _Widened:
    """A bundle's program in its dtype, evaluated in float64 at points (rows, n)."""

    def __init__(self, bundle: Bundle, dtype: str):
        self._bundle, self._dtype = bundle, dtype
        self._programs: dict[int, Callable[..., Any]] = {}
        # The mode in which float32 is derived.
        self._x64 = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]

    def __call__(self, points: jax.Array) -> Any:
        rows = points.shape[0]
        if rows not in self._programs:
            with jax.enable_x64(self._x64 or self._dtype == "float64"):
                shape = jax.ShapeDtypeStruct(points.shape, self._dtype)
                program, results = jax.make_jaxpr(self._bundle, return_shape=True)(shape)
            self._programs[rows] = Jitted(self._evaluation(program, jax.tree.structure(results)))
        return self._programs[rows](points)

    @staticmethod
    def _evaluation(program: core.ClosedJaxpr, structure: Any) -> Callable[..., Any]:
        evaluate = widened(program)
        return lambda points: jax.tree.unflatten(structure, evaluate(points))


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
