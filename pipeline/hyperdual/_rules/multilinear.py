"""Products: linear in each of two operands; here dot_general.

B(a, b) with weights in one place is linear, and weights do not depend on the row: rows and
directions fold into one large matrix product. With both operands active (attention),

    J = B(J_a, b) + B(a, J_b),    s[i] = 2 B(J_a[i], J_b[i]).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._accumulation import Pull, Source
from .._equation import Equation
from .._interpret import interpret
from .._registry import register
from .._tangent import Tangent, add, dense, flatten, push, push_over
from .joined import part_by_part

# Layers of so many numbers are left as they are written.
_NARROW = 16
# A last layer is one product for all directions from so many on, as long as its matrix has no more
# entries: larger ones do not stay in the caches, and are read anew for each tile. Where outputs are
# few, the other way is slower.
_FEWEST_DIRECTIONS = 4
_MOST_ENTRIES, _MOST_ENTRIES_OF_NARROW = 1 << 18, 1 << 20


@register(
    "dot_general",
    parameters=("dimension_numbers", "precision", "preferred_element_type", "out_sharding"),
)
def dot_general(equation: Equation) -> list[Any]:
    """Multiply and sum over the contracted axes, for each position on the batch axes.

    With weights W, (m, n), J of W v is W J_v and D is W D_v. With W as below and v = x**2:

    >>> derive(lambda x: jnp.array([[1.0, 2.0], [0.0, 3.0]]) @ x**2, [1, 2])
    value (2,)    [9, 12]
    J     (2, 2)  [[2, 8], [0, 12]]
    D     (2, 2)  [[2, 4], [0, 6]]

    With both operands active the products of their J are a source; x . x^2 = x_0^3 + x_1^3:

    >>> derive(lambda x: jnp.dot(x, x**2), [1, 2])
    value (1,)    [9]
    J     (1, 2)  [[3, 12]]
    D     (1, 2)  [[6, 12]]

    Operands: left, right. Parameters: dimension_numbers ((contracted axes of the left, of the
    right), (batch axes of the left, of the right)), precision, preferred_element_type,
    out_sharding. The result has the batch axes, then the other axes of the left, then of the right.
    https://docs.jax.dev/en/latest/_autosummary/jax.lax.dot_general.html
    https://openxla.org/xla/operation_semantics#dotgeneral
    """
    results = _last_layer(equation) or part_by_part(equation)
    if results is not None:
        return results
    layer = _vector_times_matrix(equation)
    if layer is not None:
        types = [jax.typeof(value) for value in equation.values]
        program = jax.make_jaxpr(layer)(*types)
        return interpret(program.jaxpr, program.consts, equation.operands, equation.accumulation)
    if equation.accumulation.columns and _is_curved_layer(equation):
        return _in_one_product(equation)
    return bilinear(equation, _dot_with_tangent)


def _vector_times_matrix(equation: Equation) -> Callable[..., jax.Array] | None:
    """Return a dense layer, x W of some other form, as the product of a vector and a matrix.

    Other forms are W x, which leaves rows and directions last where what follows has them first,
    and products of one row, (1, n), which are no layers to `columns`. They take up to 2.3 times as
    long; W x of few numbers less, down to a third.

    Returns:
        None for what is no layer, for what has this form, for W x in `columns` or of few numbers.
    """
    (contracted, batch), params = equation.params["dimension_numbers"], equation.params
    if len(equation.active) != 1 or batch[0] or params["out_sharding"] is not None:
        return None
    (at,) = equation.active
    shapes = [jnp.shape(value) for value in equation.values]
    if len(contracted[0]) != 1 or len(shapes[1 - at]) != 2:
        return None
    length = shapes[at][contracted[at][0]]
    if not length or length != math.prod(shapes[at]):
        return None
    turned = contracted[1 - at] == (1,)
    narrow = max(shapes[1 - at]) <= _NARROW
    as_it_is = equation.accumulation.columns or narrow or (at == 0 and not turned)
    if as_it_is and len(shapes[at]) == 1:
        return None
    precision = params["precision"]
    if at == 1 and isinstance(precision, lax.DotAlgorithm):
        return None  # which has parameters of either side
    if at == 1 and isinstance(precision, tuple):
        precision = precision[::-1]

    def product(*operands: jax.Array) -> jax.Array:
        vector, matrix = operands[at], operands[1 - at]
        result = lax.dot_general(
            vector.reshape(length),
            matrix.T if turned else matrix,
            (((0,), (0,)), ((), ())),
            precision=precision,
            preferred_element_type=params["preferred_element_type"],
        )
        return result.reshape(equation.result_types[0].shape)

    return product


def bilinear(
    equation: Equation,
    product: Callable[[Equation, int, Tangent], Tangent],
    reversible: Callable[..., jax.Array] | None = None,
) -> list[Any]:
    """Differentiate a product that is linear in each of two operands.

    Args:
        equation: that applies it.
        product: from an equation, the place of an operand and a tangent to the product with the
            tangent in that place.
        reversible: the product as a function of both operands, where there is one that JAX's
            reverse mode makes a faster program of.
    """
    fn = reversible or (lambda *operands: equation.apply(*operands)[0])

    def apply(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        pairs = zip(equation.active, tangents, strict=True)
        return [
            add([product(equation, at, tangent) for at, tangent in pairs if tangent is not None])
        ]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        if len(jacobians) < 2:
            return [[]]
        left, right = (flatten(jacobian) for jacobian in jacobians)
        return [
            [Source(None, dense(2 * jax.vmap(lambda a, b: equation.apply(a, b)[0])(left, right)))]
        ]

    return equation.record(apply, source, _pull(equation, fn))


def _pull(equation: Equation, fn: Callable[..., jax.Array]) -> Pull:
    """Return JAX's reverse of a product at operands with zero for what is not finite.

    Where an output depends on that its J is not finite either, and nor is D then (see `own.py`);
    where none does, it is not to spoil, by a sum, what the others depend on. With one active
    operand the reverse has the other in it, a constant, which stays as it is.
    """
    primals = [equation.values[at] for at in equation.active]

    def of_active(*values: jax.Array) -> jax.Array:
        operands = list(equation.values)
        for at, value in zip(equation.active, values, strict=True):
            operands[at] = value
        return fn(*operands)

    def pull(cotangents: list[jax.Array | None]) -> tuple[Sequence[jax.Array], None]:
        finite = [jnp.where(jnp.isfinite(p), p, jnp.zeros_like(p)) for p in primals]
        _, pullback = jax.vjp(of_active, *(primals if len(primals) == 1 else finite))
        return jax.vmap(pullback)(cotangents[0]), None

    return pull


def _is_curved_layer(equation: Equation) -> bool:
    """Tell whether this is a curved vector times a matrix of weights, a vector by itself."""
    if len(equation.active) != 1 or not equation.parents[0].curved:
        return False  # before the first nonlinearity J is the same for all rows
    ((at,), (contracted, _)) = equation.active, equation.params["dimension_numbers"]
    ranks = jnp.ndim(equation.values[at]), jnp.ndim(equation.values[1 - at])
    return ranks == (1, 2) and len(contracted[0]) == 1


def _in_one_product(equation: Equation) -> list[Any]:
    """Multiply the weights with the columns [value, J, D]."""
    ((at,), (node,)) = equation.active, equation.parents
    tangents = [t for t in (node.jacobian, node.hessian_diag) if t is not None]
    free = [tangent for tangent in tangents if tangent.free == len(tangent.sizes)]
    # Each is turned before they are joined: XLA would turn the joined array entry by entry.
    blocks = [node.value[:, None]]
    blocks += [t.data.reshape(math.prod(t.sizes), node.value.size).T for t in free]
    product = lax.dot_general(
        equation.values[1 - at],
        jnp.concatenate(blocks, axis=1),
        ((equation.params["dimension_numbers"][0][1 - at], (0,)), ((), ())),
        precision=equation.params["precision"],
        preferred_element_type=equation.params["preferred_element_type"],
    )
    ends = np.cumsum([block.shape[1] for block in blocks])
    first, *others = jnp.split(product, ends[:-1], axis=1)
    value, turned = first[:, 0], iter(others)
    pushed: list[Tangent | None] = [
        Tangent(next(turned).T.reshape(*t.data.shape[:-1], -1), t.sizes, t.ties)
        if any(t is other for other in free)
        else _dot_with_tangent(equation, at, t)
        for t in tangents
    ]
    jacobian, carried = pushed if len(pushed) == 2 else (pushed[0], None)
    nodes = equation.accumulation.record(
        [value], [jacobian], [carried], [[]], equation.parents, None
    )
    return equation.with_nodes([value], nodes)


def _last_layer(equation: Equation) -> list[Any] | None:
    """Multiply an activation of what is linear in the inputs with the weights of the last layer.

    Returns:
        None for any other product (see the module `_last_layer`), and for one of few directions or
        with too large a matrix.
    """
    accumulation, params = equation.accumulation, equation.params
    if id(equation.eqn) not in accumulation.last_layers:
        return None
    (at,), (contracted, batch) = equation.active, params["dimension_numbers"]
    operand, weights = equation.operands[at], equation.values[1 - at]
    before = operand.node.jacobian
    is_layer = not batch[0] and len(contracted[0]) == 1 and jnp.ndim(weights) == 2
    # A function with a rule of its own may have made another node, whose J is not that of all rows.
    if operand.slope is None or operand.node.curved or not is_layer:
        return None
    if operand.value.size != weights.shape[contracted[1 - at][0]]:
        return None
    types = {jnp.result_type(array) for array in (operand.value, weights, *equation.result_types)}
    precision = params["precision"]
    if len(types) > 1 or not isinstance(precision, tuple | None):
        return None
    if precision is not None and at == 1:
        precision = precision[::-1]
    matrix = weights if contracted[1 - at] == (0,) else weights.T
    if before.free != len(before.ties) or not _pays(math.prod(before.sizes), matrix):
        return None
    rows = flatten(before).reshape(-1, operand.value.size)

    def pushed(factor: jax.Array, tangent: jax.Array) -> Tangent:
        if operand.selected is not None:
            factor = jnp.where(operand.selected, factor, jnp.zeros_like(factor))
        results = _scaled_product(factor.ravel(), tangent, matrix, precision)
        shape = before.data.shape[: before.free] + equation.result_types[0].shape
        return Tangent(results.reshape(shape), before.sizes, before.ties)

    (parent,), carried = equation.parents, None
    if parent.hessian_diag is not None:
        # A ratio is not to be multiplied with phi' (see `_active`); a Laplacian has one direction.
        if operand.ratio is not None or accumulation.laplacian:
            carried = _dot_with_tangent(equation, at, parent.hessian_diag)
        else:
            carried = pushed(operand.bend, rows * rows)
    (value,) = equation.apply(*equation.values)
    nodes = accumulation.record(
        [value],
        [pushed(operand.slope, rows)],
        [carried],
        [[]],
        equation.parents,
        _pull(equation, lambda *operands: equation.apply(*operands)[0]),
    )
    return equation.with_nodes([value], nodes)


def _pays(directions: int, matrix: jax.Array) -> bool:
    """Tell whether one product for all directions is faster than one for each."""
    entries = directions * matrix.size
    if directions < _FEWEST_DIRECTIONS or not entries:
        return False
    return entries <= (_MOST_ENTRIES if matrix.shape[1] > _NARROW else _MOST_ENTRIES_OF_NARROW)


def _scaled_product(
    factor: jax.Array, tangent: jax.Array, matrix: jax.Array, precision: Any
) -> jax.Array:
    """Return sum_u factor[u] tangent[i, u] matrix[u, j], shape (k, m).

    Args:
        factor: (w,), the only one that differs from row to row.
        tangent: (k, w).
        matrix: (w, m).
        precision: of the product.
    """
    (k, w), m = tangent.shape, matrix.shape[1]
    same = (matrix[:, :, None] * tangent.T[:, None, :]).reshape(w, m * k)
    return jnp.matmul(factor, same, precision=precision).reshape(m, k).T


def with_operand(equation: Equation, at: int) -> Callable[[jax.Array], list[jax.Array]]:
    """Return the product as a function of the operand at one place."""

    def product(array: jax.Array) -> list[jax.Array]:
        operands = list(equation.values)
        operands[at] = array
        return equation.apply(*operands)

    return product


def _dot_with_tangent(equation: Equation, at: int, tangent: Tangent) -> Tangent:
    """Multiply a tangent; a direction tied to a contracted axis picks one row of the other side."""
    (contracted, batch) = equation.params["dimension_numbers"]
    tied = [axis for axis in contracted[at] if axis in tangent.ties]
    if not tied:
        return push(with_operand(equation, at), [tangent], _mapped_by_dot(equation, at))[0]
    places = [contracted[at].index(axis) for axis in tied]
    # These axes are batch axes now, after those that are batch axes anyway.
    left, right = (
        [axis for place, axis in enumerate(side) if place not in places] for side in contracted
    )
    left_batch, right_batch = (
        [*batch[side], *(contracted[side][place] for place in places)] for side in (0, 1)
    )

    def product(array: jax.Array) -> jax.Array:
        operands = list(equation.values)
        operands[at] = array
        result = lax.dot_general(
            operands[0],
            operands[1],
            ((left, right), (left_batch, right_batch)),
            precision=equation.params["precision"],
            preferred_element_type=equation.params["preferred_element_type"],
        )
        picked = range(len(batch[0]), len(batch[0]) + len(tied))
        return jnp.moveaxis(result, picked, range(len(tied)))

    return push_over(product, tangent, tied, _mapped_by_dot(equation, at))


def _mapped_by_dot(equation: Equation, at: int) -> Mapping[int, int]:
    """Batch axes come first in the result, then the free axes of the left, then of the right."""
    (contracted, batch) = equation.params["dimension_numbers"]
    ranks = [len(value.shape) for value in equation.values]
    free = [
        [axis for axis in range(ranks[side]) if axis not in {*contracted[side], *batch[side]}]
        for side in (0, 1)
    ]
    start = len(batch[0]) + (len(free[0]) if at == 1 else 0)
    mapped = {axis: to for to, axis in enumerate(batch[at])}
    return mapped | {axis: start + to for to, axis in enumerate(free[at])}
