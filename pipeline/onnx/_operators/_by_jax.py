"""Functions that only JAX has, for values that may all be constants."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._values import is_constant


def by_jax(function: Callable[..., Any], *values: Any) -> Any:
    """Return a function of JAX's of some values; of constants constants, computed now.

    Args:
        function: of these values; its result is an array, or a tuple of arrays.
        values: arrays; None where one is left out.
    """
    if not all(is_constant(value) for value in values):
        return function(*values)
    with jax.ensure_compile_time_eval():
        return jax.tree.map(np.asarray, function(*values))
