"""The constants of a network's program in float32 beside those of its program in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ._jaxpr import direct_equations, subjaxprs
from ._numerics import numerics
from ._widened import draws, widened

# Of an array's largest entry: far above float32's rounding, also of weights that were computed,
# and far below what other random numbers differ by.
_ROUNDING = 1e-3
# The same for values, where all that differs is some small number in the code.
_VALUES = 1e-2


def traced(fn: Callable, n_inputs: int, dtype: str) -> core.ClosedJaxpr:
    """Return a function's program for one point (n,) of this dtype."""
    with numerics(dtype):
        return jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((n_inputs,), dtype))


def dtype_difference(single: Callable, double: Callable, points: np.ndarray) -> str | None:
    """Return, as a clause, in what a network is another one in float64 than in float32.

    Args:
        single, double: its function, built for float32 and for float64.
        points: (rows, n), float64, where values are compared if constants cannot be.

    Returns:
        None where it is the same network, or nothing can be said.
    """
    n_inputs = points.shape[1]
    in_double = traced(double, n_inputs, "float64")  # first: see `derivatives`
    try:
        in_single = traced(single, n_inputs, "float32")
    except Exception:  # it is for float64 alone; JAX raises what it likes
        return None
    ours, theirs = _arrays(in_single), _arrays(in_double)
    if [array.shape for array in ours] == [array.shape for array in theirs]:
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
            if not _equal(a, b):
                at = np.unravel_index(np.argmax(np.abs(a - b)), a.shape)
                return (
                    f"constant {number} of {len(ours)}, of shape {a.shape}, has {a[at]:.6g} in "
                    f"float32 where float64 has {b[at]:.6g}"
                )
    if same_constants(in_single, in_double):
        return None
    return _values_differ(in_single, in_double, points)


def _values_differ(
    single: core.ClosedJaxpr, double: core.ClosedJaxpr, points: np.ndarray
) -> str | None:
    """Compare two programs, both evaluated in float64: only constants are rounded then."""
    with numerics("float64"):
        try:
            ours, theirs = (
                np.asarray(jax.jit(jax.vmap(widened(program)))(points)[0])
                for program in (single, double)
            )
        except Exception:  # as above
            return None
    ours, theirs = (array.reshape(points.shape[0], -1) for array in (ours, theirs))
    finite = np.isfinite(ours) & np.isfinite(theirs)
    largest = np.abs(theirs).max(initial=0, where=finite, axis=0)
    differences = np.abs(ours - theirs).max(initial=0, where=finite, axis=0)
    if (differences <= _VALUES * largest).all():
        return None
    worst = int(np.argmax(differences / np.maximum(largest, np.finfo(float).tiny)))
    return (
        f"output {worst + 1} of the float32 network differs by up to {differences[worst]:.3g} from "
        f"that of the float64 network, whose largest is {largest[worst]:.3g}"
    )


def same_constants(single: core.ClosedJaxpr, double: core.ClosedJaxpr) -> bool:
    """Tell whether two programs have the same constants, numbers in the code included.

    Then they compute the same, if they do not draw random numbers.
    """
    ours, theirs = list(_floats(single)), list(_floats(double))
    return (
        not draws(single)
        and not draws(double)
        and [array.shape for array in ours] == [array.shape for array in theirs]
        and all(map(_equal, ours, theirs))
    )


def _arrays(traced: core.ClosedJaxpr) -> list[np.ndarray]:
    """Return the constants of more than one number: a single one may be a small eps of a dtype."""
    return [array for array in _floats(traced) if array.size > 1]


def _floats(program: core.ClosedJaxpr | core.Jaxpr) -> Iterator[np.ndarray]:
    """Yield every floating-point constant of a program, in its order."""
    jaxpr = program
    if isinstance(program, core.ClosedJaxpr):
        jaxpr = program.jaxpr
        yield from map(np.asarray, filter(_is_float, program.consts))
    for eqn in direct_equations(jaxpr):
        for atom in eqn.invars:
            if isinstance(atom, core.Literal) and _is_float(atom.val):
                yield np.asarray(atom.val)
        for inner in subjaxprs(eqn.params):
            yield from _floats(inner)


def _is_float(value: Any) -> bool:
    dtype = value.dtype if hasattr(value, "dtype") else np.result_type(value)
    return jax.dtypes.issubdtype(dtype, jnp.inexact)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    a, b = np.asarray(a, np.complex128), np.asarray(b, np.complex128)
    largest = np.abs(b).max(initial=0, where=np.isfinite(b))
    return np.allclose(a, b, rtol=0, atol=_ROUNDING * largest, equal_nan=True)
