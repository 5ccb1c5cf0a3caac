"""Attention; its other pieces are written by the standard as functions."""

from math import sqrt
from typing import Any

import jax
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import is_constant


@operator("Attention", since=23)
def _(node: Node) -> Any:
    """softmax(Q K^T + mask) V for each head; several query heads may share those of K and V."""
    xp = node.xp
    packed = node[0].ndim == 3
    n_query, n_key = node.get("q_num_heads"), node.get("kv_num_heads")
    if packed and not (n_query and n_key):
        raise OnnxError("arrays with 3 axes need the attributes q_num_heads and kv_num_heads")
    query = _heads(node[0], n_query, xp)
    key, value = _heads(node[1], n_key, xp), _heads(node[2], n_key, xp)
    n_past = 0
    if node.get_input(4) is not None:
        n_past = node[4].shape[2]
        key = xp.concatenate([node[4], key], axis=2)
        value = xp.concatenate([node[5], value], axis=2)
    allowed, bias = _mask(node, query.shape[2], key.shape[2], n_past)

    n_shared = query.shape[1] // key.shape[1]
    keys, values = (xp.repeat(a, n_shared, axis=1) if n_shared > 1 else a for a in (key, value))
    half = sqrt(node.get("scale") or 1 / sqrt(query.shape[3]))
    products = xp.matmul(query * half, xp.swapaxes(keys, 2, 3) * half)
    cap = node.get("softcap", 0.0)
    capped = cap * xp.tanh(products / cap) if cap else products
    scores = xp.where(allowed, capped if bias is None else capped + bias, -np.inf)
    weights = _softmax(scores, xp)
    result = xp.matmul(weights, values)
    if packed:
        result = xp.swapaxes(result, 1, 2).reshape(*node[0].shape[:2], -1)
    seen = [products, capped, scores, weights][node.get("qk_matmul_output_mode", 0)]
    return result, key, value, seen


def _heads(array: Any, n_heads: int, xp: Any) -> Any:
    """Return an array of shape (batch, heads, positions, size), whose heads may be side by side."""
    if array.ndim == 4:
        return array
    return xp.swapaxes(array.reshape(*array.shape[:2], n_heads, -1), 1, 2)


def _mask(node: Node, n_query: int, n_key: int, n_past: int) -> tuple[np.ndarray, Any]:
    """Return which query may see which key, and what is added to their products, or None.

    Query i is at the position i + offset among the keys; the offset is how many of them are before
    the first query.
    """
    xp = node.xp
    n_valid = node.static(6)
    offset = np.full(1, n_past) if n_valid is None else n_valid - n_query
    distance = np.arange(n_query)[:, None] + offset[:, None, None, None] - np.arange(n_key)
    allowed = np.ones_like(distance, dtype=bool)
    left, right = node.get("left_window_size", -1), node.get("right_window_size", -1)
    if node.get("is_causal", 0):
        allowed &= distance >= 0
    if left >= 0:
        allowed &= distance <= left
    if right >= 0:
        allowed &= distance >= -right
    if n_valid is not None:
        allowed = allowed & (np.arange(n_key) < n_valid[:, None, None, None])
    mask = node.get_input(3)
    if mask is None:
        return allowed, None
    if mask.dtype == bool:
        return np.logical_and(allowed, _padded(node.static(3), n_key, False, np)), None
    return allowed, _padded(mask, n_key, -np.inf, xp)


def _padded(mask: Any, n_key: int, value: Any, xp: Any) -> Any:
    """Return a mask for all keys: those that it leaves out at the end are not seen."""
    missing = n_key - mask.shape[-1]
    if missing <= 0:
        return mask
    return xp.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, missing)], constant_values=value)


def _softmax(scores: Any, xp: Any) -> Any:
    """Return the softmax along the last axis; zeros where a query may see nothing."""
    largest = xp.max(scores, axis=-1, keepdims=True)
    largest = largest if is_constant(largest) else jax.lax.stop_gradient(largest)
    powers = xp.exp(scores - xp.where(xp.isfinite(largest), largest, 0))
    total = xp.sum(powers, axis=-1, keepdims=True)
    return powers / xp.where(total == 0, 1, total)
