"""Where one activation alone is between the inputs and the last dense layer.

With v = V x + b, an activation phi and a matrix W, from w numbers to m,

    J[j, i] = sum_u phi'(v_u) W[u, j] V[u, i],    D[j, i] = sum_u phi''(v_u) W[u, j] V[u, i]^2.

What stands behind phi' and phi'' is the same for all rows, a matrix of w x (m k): each row of a
batch is one row of a matrix product with it (see `_rules/multilinear.py`). To scale V for each row
first, and multiply with W then, has as many multiply-adds, but k w numbers of each row to be
written and read on the way, and products as narrow as m.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ._jaxpr import direct_equations, subjaxprs
from ._rules.elementwise import ENTRYWISE
from ._waist import LINEAR, LINEAR_IN_ONE

_CALLS = frozenset({"jit", "closed_call", "remat2", "custom_jvp_call"})
_PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})
# Between these is the largest entry of each row and column of a matrix; and its most entries.
_LEAST, _MOST, _MOST_ENTRIES = 1e-6, 1e3, 1 << 22


class _Kind(IntEnum):
    """How an array depends on the inputs: not at all; as V x + b; entry by entry on that; else."""

    FIXED = 0
    AFFINE = 1
    ENTRYWISE = 2
    OTHER = 3


class _Dependence(NamedTuple):
    kind: _Kind
    source: Any = None  # of what is entrywise: the one affine variable


_FIXED, _OTHER = _Dependence(_Kind.FIXED), _Dependence(_Kind.OTHER)


def last_layers(program: core.ClosedJaxpr) -> frozenset[int]:
    """Return the identities (`id`) of the equations that are such a layer.

    Behind such a product there is no other one, no loop and no branch: there, each direction's
    numbers are to stand side by side, and nothing is won.
    """
    layers, others = set[int](), set[int]()
    _note_followed(program.jaxpr, [False] * len(program.jaxpr.outvars), others)
    inputs = [_Dependence(_Kind.AFFINE, variable) for variable in program.jaxpr.invars]
    _note_layers(program, inputs, layers, others)
    return frozenset(layers - others)  # a program that is called twice may be both


def _note_followed(jaxpr: core.Jaxpr, followed: Sequence[bool], others: set[int]) -> list[bool]:
    """Note the products that another one follows; return whether one follows each operand.

    Args:
        jaxpr: the program.
        followed: whether a product follows each of its results.
        others: where to note them.
    """
    meets: set[core.Var] = set()

    def note(atoms: Sequence[core.Var | core.Literal], which: Sequence[bool]) -> None:
        pairs = zip(atoms, which, strict=True)
        meets.update(atom for atom, does in pairs if does and isinstance(atom, core.Var))

    note(jaxpr.outvars, followed)
    for eqn in reversed(list(direct_equations(jaxpr))):
        name, behind = eqn.primitive.name, [variable in meets for variable in eqn.outvars]
        inner = list(subjaxprs(eqn.params))
        if name in _PRODUCTS and any(behind):
            others.add(id(eqn))
        if name in _CALLS and len(inner) == 1:
            note(eqn.invars, _note_followed(_jaxpr(inner[0]), behind, others))
        else:  # what loops and branches do inside counts as products
            does = bool(inner) or name in _PRODUCTS or any(behind)
            note(eqn.invars, [does] * len(eqn.invars))
    return [variable in meets for variable in jaxpr.invars]


def _note_layers(
    program: core.ClosedJaxpr | core.Jaxpr,
    operands: Sequence[_Dependence],
    layers: set[int],
    others: set[int],
) -> list[_Dependence]:
    """Note which products are layers behind one activation; return what the results are."""
    jaxpr, consts = _jaxpr(program), getattr(program, "consts", ())
    known = dict(zip(jaxpr.invars, operands, strict=True))
    for variable, const in zip(jaxpr.constvars, consts, strict=False):
        known[variable] = _FIXED if _is_moderate(const) else _OTHER

    def read(atom: Any) -> _Dependence:
        return _FIXED if isinstance(atom, core.Literal) else known.get(atom, _FIXED)

    for eqn in direct_equations(jaxpr):
        name, inner = eqn.primitive.name, list(subjaxprs(eqn.params))
        of_operands = [read(atom) for atom in eqn.invars]
        if name == "dot_general":
            kinds = sorted(each.kind for each in of_operands)
            is_layer = kinds == [_Kind.FIXED, _Kind.ENTRYWISE]
            (layers if is_layer else others).add(id(eqn))
        if name in _CALLS and len(inner) == 1:
            results = _note_layers(inner[0], of_operands, layers, others)
        elif inner:
            results = [_OTHER] * len(eqn.outvars)
        else:
            results = [_result(eqn, variable, of_operands) for variable in eqn.outvars]
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _result(eqn: core.JaxprEqn, variable: Any, operands: Sequence[_Dependence]) -> _Dependence:
    name, most = eqn.primitive.name, max((each.kind for each in operands), default=_Kind.FIXED)
    if most == _Kind.FIXED:
        return _FIXED
    active = [each for each in operands if each.kind != _Kind.FIXED]
    in_one = name in LINEAR_IN_ONE and len(active) == 1
    in_one &= name != "div" or operands[0].kind != _Kind.FIXED
    real = jnp.issubdtype(variable.aval.dtype, jnp.floating)  # to whole numbers nothing is linear
    if most == _Kind.AFFINE and real and (name in LINEAR or in_one):
        return _Dependence(_Kind.AFFINE, variable)
    if name in ENTRYWISE and most != _Kind.OTHER and len({each.source for each in active}) == 1:
        return _Dependence(_Kind.ENTRYWISE, active[0].source)
    return _OTHER


def _is_moderate(const: Any) -> bool:
    """Tell whether a constant is no matrix, or one whose entries are known, and of usual size.

    Its products are formed before phi' and phi'' meet them, and may leave the range of a dtype that
    the result does not leave. Of vectors and single numbers `_factors` keeps account.
    """
    if np.ndim(const) < 2:
        return True
    if isinstance(const, jax.core.Tracer | jax.Ref) or not 0 < np.size(const) <= _MOST_ENTRIES:
        return False
    if not jnp.issubdtype(const.dtype, jnp.floating):
        return False
    magnitudes = np.abs(np.asarray(const, np.float64))
    largest = np.concatenate([magnitudes.max(axis=axis).ravel() for axis in (-1, -2)])
    largest = largest[largest != 0]
    return bool(((largest > _LEAST) & (largest < _MOST)).all())


def _jaxpr(program: core.ClosedJaxpr | core.Jaxpr) -> core.Jaxpr:
    return program.jaxpr if isinstance(program, core.ClosedJaxpr) else program
