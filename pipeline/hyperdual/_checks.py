"""The arguments of `derivatives`: what is wrong with them is said before anything is compiled."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._methods import Function
from ._quantities import QUANTITIES
from ._reason import is_not_jax, reason


def check_outputs(outputs: Sequence[str]) -> None:
    """Check which quantities are asked for.

    Raises:
        ValueError: if they are not some of `QUANTITIES`, each once.
    """
    if isinstance(outputs, str) or not outputs or not set(outputs) <= set(QUANTITIES):
        raise ValueError(
            f"outputs must be a list of some of {', '.join(QUANTITIES)}; got {outputs!r}"
        )
    if len(set(outputs)) != len(outputs):
        raise ValueError(f"outputs names one twice: {outputs!r}")


def checked_directions(wrt: Sequence[int] | None, n_inputs: int) -> np.ndarray:
    """Return the indices of the inputs to differentiate with respect to.

    Raises:
        ValueError: if they are not some of the inputs, each once.
    """
    if wrt is None:
        return np.arange(n_inputs)
    directions = np.asarray(wrt)
    if directions.ndim != 1 or directions.size == 0 or directions.dtype.kind not in "iu":
        raise ValueError(f"wrt must be a non-empty list of input indices; got {wrt!r}")
    if directions.min() < 0 or directions.max() >= n_inputs:
        raise ValueError(f"wrt must name inputs 0 to {n_inputs - 1}; got {wrt!r}")
    if np.unique(directions).size != directions.size:
        raise ValueError(f"wrt names an input twice: {wrt!r}")
    return directions


def traced_output(fn: Function, n_inputs: int, dtype: str) -> Any:
    """Return the shape and dtype of what `fn` returns.

    Raises:
        TypeError: if it is not written in JAX; other errors are the function's own.
    """
    try:
        return jax.eval_shape(fn, jax.ShapeDtypeStruct((n_inputs,), dtype))
    except Exception as error:
        if is_not_jax(error):
            raise TypeError(f"fn cannot be traced: {reason(error)}") from error
        raise


def check_output(output: Any) -> None:
    """Check the shape and dtype of what a function of one point returns.

    Raises:
        TypeError: if it is not one floating-point array.
        ValueError: if it is not of shape (m,), m at least 1, or ().
    """
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise TypeError(f"fn must return one array; it returns {type(output).__name__}")
    if output.ndim > 1:
        raise ValueError(
            f"fn must map one point of shape (n,) to shape (m,) or (); it returns {output.shape}"
        )
    if output.size == 0:
        raise ValueError(f"fn must return at least one number; it returns shape {output.shape}")
    if not jnp.issubdtype(output.dtype, jnp.floating):
        raise TypeError(f"fn must return floating-point numbers; it returns {output.dtype}")
