"""A function that only float32 can trace, derived in float64 all the same."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from ._numerics import to_be_widened
from ._widened import narrows, widened


class Float32Function:
    """A function whose program is that of float32, evaluated in float64 where float64 is asked for.

    Its constants are the same numbers, and what was rounded to float32 between its steps is not.
    `derivatives` makes the program of its derivatives in float32, so that derivative rules of its
    own count, and evaluates that in float64.

    Args:
        function: maps one point (n,) to (m,) or (), in float32.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        # The mode in which float32 is derived.
        self._x64 = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]

    def __call__(self, x: jax.Array) -> Any:
        """Return the value at a point; without derivative rules of the function's own.

        Raises:
            TypeError: as what `in_float64` returns.
        """
        return self.in_float64(self.function)(x) if x.dtype == "float64" else self.function(x)

    def in_float64(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of float64 arrays that evaluates the program of one of float32.

        To be called in JAX's 64-bit mode.

        Raises:
            TypeError: by what is returned, if a part of the program has no float64 form.
        """

        def evaluate(*arrays: jax.Array) -> Any:
            narrow = [jax.ShapeDtypeStruct(array.shape, "float32") for array in arrays]
            token = to_be_widened.set(True)
            try:
                with jax.enable_x64(self._x64):
                    program, results = jax.make_jaxpr(function, return_shape=True)(*narrow)
            finally:
                to_be_widened.reset(token)
            wide = jax.make_jaxpr(widened(program))(*arrays)
            if narrows(wide):
                raise TypeError(
                    "it can be traced in float32 alone, and a part of its program (a callback, a "
                    "kernel, bits of numbers) cannot be evaluated in float64"
                )
            values = core.jaxpr_as_fun(wide)(*arrays)
            return jax.tree.unflatten(jax.tree.structure(results), values)

        return evaluate
