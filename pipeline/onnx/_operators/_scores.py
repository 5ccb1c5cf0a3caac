"""What the models of classical machine learning make of their sums: scores, and labels."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from ._by_jax import by_jax


def transformed(node: Node, sums: Any) -> Any:
    """Return sums after the transformation that a node names, along their last axis.

    Raises:
        OnnxError: if the standard does not have it.
    """
    name = node.get("post_transform", "NONE")
    if name == "NONE":
        return sums
    if name not in _TRANSFORMS:
        raise OnnxError(f"there is no transformation '{name}' of scores")
    return by_jax(_TRANSFORMS[name], sums)


def labelled(node: Node, index: Any, classes: Sequence[Any]) -> Any:
    """Return the labels of classes, by their index; None for labels that are text."""
    if node.get("classlabels_strings"):
        return None
    if not classes:
        return index
    return node.xp.take(np.asarray(classes, np.int64), index)


def _softmax_of_nonzero(sums: Any) -> Any:
    """The softmax of those that are not 0; 0 remains 0."""
    counts = jnp.abs(sums) > 1e-7
    largest = jax.lax.stop_gradient(jnp.max(sums, axis=-1, keepdims=True))
    powers = jnp.where(counts, jnp.exp(sums - largest), 0)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    return jnp.where(total == 0, 0.5, powers / jnp.where(total == 0, 1, total))


_TRANSFORMS = {
    "LOGISTIC": jax.nn.sigmoid,
    "SOFTMAX": jax.nn.softmax,
    "SOFTMAX_ZERO": _softmax_of_nonzero,
    "PROBIT": lambda sums: 2**0.5 * jax.lax.erf_inv(2 * sums - 1),
}
