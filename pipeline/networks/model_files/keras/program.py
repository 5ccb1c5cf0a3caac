"""What JAX makes of a Keras model: a program of one point."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core


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
        and str(_type(equation.invars[0]).dtype) == "float64"
        and str(_type(equation.outvars[0]).dtype) in ("float32", "float16", "bfloat16")
        for equation in _equations(traced.jaxpr)
    )


def _type(atom: Any) -> Any:
    return atom.aval


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Return all equations of a program, with those of the programs in it."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for value in parameter if isinstance(parameter, tuple | list) else (parameter,):
                if isinstance(value, core.ClosedJaxpr):
                    yield from _equations(value.jaxpr)
                elif isinstance(value, core.Jaxpr):
                    yield from _equations(value)
