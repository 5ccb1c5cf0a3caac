"""Matrix products."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._registry import operator
from .._values import cast, check_size, is_constant
from ._by_jax import by_jax


@operator("MatMul")
def _(node: Node) -> Any:
    return _product(node[0], node[1])


@operator("Gemm")
def _(node: Node) -> Any:
    """alpha A B + beta C, with A and B transposed or not."""
    left = _transposed(node[0]) if node.get("transA", 0) else node[0]
    right = _transposed(node[1]) if node.get("transB", 0) else node[1]
    result = _scaled(_product(left, right), node.get("alpha", 1.0))
    added = node.get_input(2)
    return result if added is None else result + _scaled(added, node.get("beta", 1.0))


@operator("Einsum")
def _(node: Node) -> Any:
    return node.xp.einsum(node.get("equation"), *node.inputs)


@operator("Det")
def _(node: Node) -> Any:
    return by_jax(jnp.linalg.det, node[0])


def _product(left: Any, right: Any) -> Any:
    """Return the matrix product; of one row with a constant matrix as that of a vector."""
    if is_constant(left) and is_constant(right):
        check_size([*np.shape(left)[:-1], *np.shape(right)[-1:]])
        return np.matmul(left, right)
    shape = left.shape
    one_row = len(shape) > 1 and math.prod(shape[:-1]) == 1
    if one_row and not is_constant(left) and is_constant(right) and right.ndim == 2:
        return jnp.matmul(left.reshape(shape[-1]), right).reshape(*shape[:-1], right.shape[1])
    return jnp.matmul(left, right)


def _transposed(matrix: Any) -> Any:
    return np.ascontiguousarray(matrix.T) if is_constant(matrix) else matrix.T


def _scaled(value: Any, factor: float) -> Any:
    return value if factor == 1 else cast(value * factor, value.dtype)
