"""A last dense layer behind the only activation, for all directions in one product.

Where v, with J_v the same for all rows, goes through an activation and then a matrix W, w of its
numbers to m,

    J[j, i] = sum_u phi'(v_u) W[u, j] J_v[i, u],    D[j, i] = sum_u phi''(v_u) W[u, j] J_v[i, u]^2.

What stands behind phi' and phi'' is the same for all rows, a matrix of w x (m k): each row of a
batch is one row of a matrix product with it. Scaling J_v for each row first, and then multiplying
with W, has as many multiply-adds, but k w numbers of each row to be written and read on the way, in
products as narrow as m: where nothing but the activation is between the inputs and this layer, that
takes 1.3 to 4 times as long (measured on networks of one hidden layer, on a CPU).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from ._jaxpr import direct_equations, subjaxprs

# With fewer directions there is little to save; a larger matrix does not stay in the caches, and
# is read anew for every tile.
_FEWEST_DIRECTIONS, _MOST_ENTRIES = 4, 1 << 20
_CALLS = frozenset({"jit", "closed_call", "remat2", "custom_jvp_call"})
_PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})


def last_products(program: core.Jaxpr) -> frozenset[int]:
    """Return the identities of the equations that multiply, and no other does with their results.

    Behind other products the directions are to come first, not last, and nothing is won.
    """
    last, others = set[int](), set[int]()
    _look_back(program, [False] * len(program.outvars), last, others)
    return frozenset(last - others)  # a program that is called twice may be both


def _look_back(
    jaxpr: core.Jaxpr, multiplied: Sequence[bool], last: set[int], others: set[int]
) -> list[bool]:
    """Note each product of a program; return whether each operand meets one.

    Args:
        jaxpr: the program.
        multiplied: whether a product follows with each of its results.
        last: where to note those with whose results none follows.
        others: where to note the others.
    """
    meets: set[core.Var] = set()

    def note(atoms: Sequence[core.Var | core.Literal], which: Sequence[bool]) -> None:
        pairs = zip(atoms, which, strict=True)
        meets.update(atom for atom, does in pairs if does and isinstance(atom, core.Var))

    note(jaxpr.outvars, multiplied)
    for eqn in reversed(list(direct_equations(jaxpr))):
        name, followed = eqn.primitive.name, [variable in meets for variable in eqn.outvars]
        inner = list(subjaxprs(eqn.params))
        if name in _PRODUCTS:
            (others if any(followed) else last).add(id(eqn))
        if name in _CALLS and len(inner) == 1:
            program = inner[0].jaxpr if isinstance(inner[0], core.ClosedJaxpr) else inner[0]
            note(eqn.invars, _look_back(program, followed, last, others))
        else:  # what loops and branches do inside counts as products
            does = bool(inner) or name in _PRODUCTS or any(followed)
            note(eqn.invars, [does] * len(eqn.invars))
    return [variable in meets for variable in jaxpr.invars]


def is_small(directions: int, matrix: tuple[int, int]) -> bool:
    """Tell whether a layer of a matrix of this shape is done so, for so many directions."""
    inputs, outputs = matrix
    enough = directions >= _FEWEST_DIRECTIONS
    return enough and 0 < directions * inputs * outputs <= _MOST_ENTRIES


def scaled_product(
    tangent: jax.Array, factor: jax.Array, matrix: jax.Array, precision: lax.PrecisionLike
) -> jax.Array:
    """Return (tangent * factor) @ matrix, (k, m), of a tangent (k, w), a factor (w,), (w, m).

    Of a batch of factors alone it is one product with (w, m k).
    """

    def plain(tangent: jax.Array, factor: jax.Array, matrix: jax.Array) -> jax.Array:
        return jnp.matmul(tangent * factor, matrix, precision=precision)

    product = jax.custom_batching.custom_vmap(plain)

    @product.def_vmap
    def _(
        rows: int, batched: Sequence[bool], tangent: jax.Array, factor: jax.Array, matrix: jax.Array
    ) -> tuple[jax.Array, bool]:
        if batched[0] or batched[2]:
            axes = [0 if is_batched else None for is_batched in batched]
            return jax.vmap(plain, axes)(tangent, factor, matrix), True
        (k, w), m = tangent.shape, matrix.shape[1]
        same = (matrix[:, :, None] * tangent.T[:, None, :]).reshape(w, m * k)
        each = jnp.matmul(factor, same, precision=precision).reshape(rows, m, k)
        return each.swapaxes(1, 2), True

    result: jax.Array = product(tangent, factor, matrix)
    return result
