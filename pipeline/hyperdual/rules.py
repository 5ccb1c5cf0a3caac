"""Rules of one's own: what to import to teach the interpreter a primitive.

Most primitives need none: whatever JAX can differentiate twice goes through the general rule. A
rule pays where structure is known, and is needed for a primitive that has no `jvp`.

    from hyperdiag.hyperdual.rules import register_elementwise, register_linear

    register_elementwise("softcap", lambda x: (jnp.tanh(x), 1 - jnp.tanh(x) ** 2, ...))
    register_linear("halo_exchange")

or, for anything else, `register` with a function of an `Equation`.
"""

from collections.abc import Callable, Sequence

import jax

from ._accumulation import Source
from ._equation import Equation, RuleError, differentiated, general
from ._registry import register
from ._rules.elementwise import elementwise
from ._rules.linear import MappedAxes, all_axes, linear_in, no_axis
from ._rules.transcendental import JETS
from ._tangent import Tangent, add, dense, flatten, push, scale

__all__ = [
    "Equation",
    "RuleError",
    "Source",
    "Tangent",
    "add",
    "all_axes",
    "dense",
    "differentiated",
    "flatten",
    "general",
    "no_axis",
    "push",
    "register",
    "register_elementwise",
    "register_linear",
    "scale",
]


def register_elementwise(
    name: str,
    jet: Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]] | None = None,
) -> None:
    """Enter a primitive that acts entry by entry.

    Args:
        name: of the primitive.
        jet: x -> (phi(x), phi'(x), phi''(x)), all shaped as x, for a primitive of one real
            operand; left out, they come from the primitive's `jvp`.
    """
    if jet is not None:
        JETS[name] = jet
    register(name)(elementwise)


def register_linear(
    name: str, operands: Sequence[int] | None = None, mapped: MappedAxes = no_axis
) -> None:
    """Enter a primitive that is linear in some operands together, and has a `jvp`.

    Args:
        name: of the primitive.
        operands: their positions; None means all.
        mapped: from an `Equation` to {axis of the operands: axis of the results} for the axes along
            which the primitive treats each position by itself, as `jax.vmap` would map it;
            `no_axis` is always right.
    """
    register(name)(lambda equation: linear_in(equation, operands, mapped(equation)))
