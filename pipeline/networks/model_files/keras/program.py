"""What JAX makes of a Keras model: a program of one point."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from hyperdiag.hyperdual import equations


def point_function(traced: core.ClosedJaxpr) -> Callable[[jax.Array], list[jax.Array]]:
    """Return the function of a point that a traced program is, with NumPy arrays as its constants.

    Args:
        traced: of a point (n,) to some arrays.
    """
    constants = [np.asarray(constant) for constant in traced.consts]

    def function(x: jax.Array) -> list[jax.Array]:
        point = jnp.asarray(x, traced.in_avals[0].dtype)
        return jax.core.eval_jaxpr(traced.jaxpr, list(map(jnp.asarray, constants)), point)

    return function


def rounds(traced: core.ClosedJaxpr) -> bool:
    """Tell whether a program makes shorter numbers of float64 somewhere."""
    return any(
        equation.primitive.name == "convert_element_type"
        and _dtype(equation.invars[0]) == "float64"
        and _dtype(equation.outvars[0]) in ("float32", "float16", "bfloat16")
        for equation in equations(traced)
    )


def _dtype(atom: Any) -> str:
    return str(atom.aval.dtype)
