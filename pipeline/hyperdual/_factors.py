"""Whether the constant factors of a program take its intermediates far from 1, and back.

Physical quantities in SI units do: an energy of 1 eV is 1.6e-19 J. The derivatives of a chain of
elementwise functions are collected as phi' and phi'' for each entry, apart from J of its argument
(see `_active`), and a reverse sweep forms dy/du apart from J of u. Where units differ by 1e19 such
a part leaves the range of float32 (1e-38 to 1e38), though its product with J does not. Programs of
that kind are therefore done step by step, in forward accumulation: that forms the products that
JAX's nested jvp forms, and is slower.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ._jaxpr import direct_equations, subjaxprs

# Powers of ten that one factor must have to count: eps in a norm or 1 / sqrt(width) are none.
_LARGE = 3.0
# Squares of what the factors do are still in range, with a good part to spare for the inputs' own.
SHARE_FOR_SQUARES = 0.37

_UNCHANGED = frozenset(
    {"convert_element_type", "broadcast_in_dim", "reshape", "transpose", "squeeze", "neg", "copy"}
)
_CALLS = frozenset({"jit", "closed_call", "remat2", "custom_jvp_call", "custom_vjp_call", "scan"})


class _Magnitude(NamedTuple):
    """Powers of ten between which the nonzero entries of a constant lie."""

    least: float
    largest: float

    def furthest(self) -> float:
        """Return the power of ten that is furthest from zero."""
        return max(self, key=abs)


def share_of_range(closed: core.ClosedJaxpr, dtype: Any) -> float:
    """Return how far the constant factors of a traced program go together, as a part of the range.

    Args:
        closed: the program.
        dtype: of the inputs, in whose range there are so many powers of ten.
    """
    range_ = math.log10(float(jnp.finfo(dtype).max))
    consts = [_of_array(const) for const in closed.consts]
    powers = _powers(closed.jaxpr, consts, [None] * len(closed.jaxpr.invars))
    return sum(abs(p) for p in powers if abs(p) > _LARGE) / range_


def _of_array(array: Any) -> _Magnitude | None:
    # What a function computes from no input may not be known while it is traced, and what is
    # changed in place is no array.
    if isinstance(array, jax.core.Tracer | jax.Ref) or not jnp.issubdtype(
        jnp.result_type(array), jnp.floating
    ):
        return None
    magnitudes = np.abs(np.asarray(array, np.float64))
    magnitudes = magnitudes[(magnitudes > 0) & np.isfinite(magnitudes)]
    if not magnitudes.size:
        return None
    return _Magnitude(math.log10(magnitudes.min()), math.log10(magnitudes.max()))


def _powers(
    jaxpr: core.Jaxpr,
    consts: Sequence[_Magnitude | None],
    operands: Sequence[_Magnitude | None],
) -> list[float]:
    """Return the powers of ten of all factors that a program's other values are multiplied by."""
    known: dict[Any, _Magnitude | None] = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, operands, strict=True))
    powers: list[float] = []

    def read(atom: Any) -> _Magnitude | None:
        return _of_array(atom.val) if isinstance(atom, core.Literal) else known.get(atom)

    for eqn in direct_equations(jaxpr):
        name, magnitudes = eqn.primitive.name, [read(atom) for atom in eqn.invars]
        present = [magnitude for magnitude in magnitudes if magnitude is not None]
        if name in _UNCHANGED:
            known[eqn.outvars[0]] = magnitudes[0]
        elif name in ("mul", "div") and len(present) == 2:
            left, right = present
            if name == "div":
                right = _Magnitude(-right.largest, -right.least)
            known[eqn.outvars[0]] = _Magnitude(
                left.least + right.least, left.largest + right.largest
            )
        elif name in ("mul", "div") and present:
            powers.append(present[0].furthest())
        elif name in ("dot_general", "conv_general_dilated") and len(present) == 1:
            powers.append(present[0].largest)
        for inside in subjaxprs(eqn.params):
            inner_consts: list[_Magnitude | None]
            if isinstance(inside, core.ClosedJaxpr):
                inner, inner_consts = inside.jaxpr, list(map(_of_array, inside.consts))
            else:  # of an open program they are not known
                inner, inner_consts = inside, [None] * len(inside.constvars)
            same = name in _CALLS and len(inner.invars) == len(magnitudes)
            powers += _powers(
                inner, inner_consts, magnitudes if same else [None] * len(inner.invars)
            )
    return powers
