"""What a method is: a record of all that the rest of this package must know of it."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from .._jaxpr import ProgramShape

Function = Callable[[jax.Array], jax.Array]
# Value (m,), Jacobian (m, k), and Hessian diagonal (m, k) or Laplacian (m,).
PointDerivatives = tuple[jax.Array, jax.Array, jax.Array]
AtPoint = Callable[[Function, jax.Array], PointDerivatives]


class MethodError(Exception):
    """A method cannot differentiate this function; the message says what stopped it."""


def _never(shape: ProgramShape) -> None:
    return None


@dataclass(frozen=True)
class Method:
    """One way to differentiate a function twice.

    The Hessian and its products with a vector are the same for all methods: JAX's own derivative
    of its own Jacobian (see `_quantities`).

    Attributes:
        function: from a function that maps (k,) to (m,) and a point (k,) to value (m,), Jacobian
            (m, k) and Hessian diagonal (m, k); raises `MethodError` where it cannot.
        laplacian: likewise to value, Jacobian and Laplacian (m,), for less than the whole diagonal
            costs; None: the diagonal is summed.
        batch: makes a function of a batch, with the rows as the first axis of what it takes and
            returns, of one of a point, as `jax.vmap` does.
        own: whether it is made of this package's interpreter: it goes by the registered rules,
            and the fastest tile is found for it if none is given.
        turn: when the tuner times it for such a program: the lower the earlier; None: not at all.
    """

    function: AtPoint
    laplacian: AtPoint | None = None
    batch: Callable[[Callable], Callable] = jax.vmap
    own: bool = False
    turn: Callable[[ProgramShape], int | None] = _never
