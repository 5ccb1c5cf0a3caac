"""Activation functions, softmaxes among them.

Those of pieces leave out of a piece what belongs to another: there its derivative may be infinite.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._registry import operator
from .._values import cast, is_constant
from ._by_jax import by_jax

_OF_JAX = {
    "Mish": jax.nn.mish,
    "Sigmoid": jax.nn.sigmoid,
    "Softplus": jax.nn.softplus,
    "Softsign": jax.nn.soft_sign,
}


@operator(*_OF_JAX)
def _(node: Node) -> Any:
    return by_jax(_OF_JAX[node.proto.op_type], node[0])


@operator("Relu")
def _(node: Node) -> Any:
    """Its slope at 0 is 0. Of whole numbers, too."""
    value = node[0]
    return np.maximum(value, 0) if is_constant(value) else jax.nn.relu(value)


@operator("LeakyRelu")
def _(node: Node) -> Any:
    value = node[0]
    return node.xp.where(value < 0, node.get("alpha", 0.01) * value, value)


@operator("PRelu")
def _(node: Node) -> Any:
    value, slope = node[0], node[1]
    return node.xp.where(value < 0, slope * value, value)


@operator("ThresholdedRelu")
def _(node: Node) -> Any:
    value = node[0]
    return node.xp.where(value > node.get("alpha", 1.0), value, 0)


@operator("Elu")
def _(node: Node) -> Any:
    """v where v > 0, else alpha (exp(v) - 1)."""
    return by_jax(partial(jax.nn.elu, alpha=node.get("alpha", 1.0)), node[0])


@operator("Celu")
def _(node: Node) -> Any:
    """v where v > 0, else alpha (exp(v / alpha) - 1)."""
    return by_jax(partial(jax.nn.celu, alpha=node.get("alpha", 1.0)), node[0])


@operator("Selu")
def _(node: Node) -> Any:
    """An Elu with the constants of https://arxiv.org/abs/1706.02515, times gamma."""
    alpha = node.get("alpha", 1.6732632423543772)
    gamma = node.get("gamma", 1.0507009873554805)
    return gamma * by_jax(partial(jax.nn.elu, alpha=alpha), node[0])


@operator("Gelu")
def _(node: Node) -> Any:
    """v times the normal distribution function of v; `approximate` is by tanh.

    https://arxiv.org/abs/1606.08415
    """
    by_tanh = node.get("approximate", "none") == "tanh"
    return by_jax(_gelu_by_tanh if by_tanh else partial(jax.nn.gelu, approximate=False), node[0])


@operator("Swish")
def _(node: Node) -> Any:
    return by_jax(partial(_swish, alpha=node.get("alpha", 1.0)), node[0])


@operator("SwiGLU")
def _(node: Node) -> Any:
    """Swish of one input, the gate, times the other. https://arxiv.org/abs/2002.05202"""
    return by_jax(partial(_swish, alpha=node.get("alpha", 1.0)), node[0]) * node[1]


@operator("HardSigmoid")
def _(node: Node) -> Any:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return node.xp.clip(alpha * node[0] + beta, 0, 1)


@operator("HardSwish")
def _(node: Node) -> Any:
    """v times a HardSigmoid of v with alpha = 1/6, beta = 1/2."""
    value = node[0]
    return value * node.xp.clip(value / 6 + 0.5, 0, 1)


@operator("Shrink")
def _(node: Node) -> Any:
    """What lies within lambd of 0 becomes 0, all else comes nearer to it by the bias."""
    value, xp = node[0], node.xp
    bias, most = node.get("bias", 0.0), node.get("lambd", 0.5)
    beyond = xp.where(value > most, value - bias, 0)
    return cast(xp.where(value < -most, value + bias, beyond), value.dtype)


@operator("Softmax")
def _(node: Node) -> Any:
    return _along(node, jax.nn.softmax)


@operator("LogSoftmax")
def _(node: Node) -> Any:
    return _along(node, jax.nn.log_softmax)


@operator("Hardmax")
def _(node: Node) -> Any:
    """1 for the first of the largest entries, 0 for all others."""
    return _along(node, _hardmax)


def _along(node: Node, function: Callable[..., Any]) -> Any:
    """Return a function along an axis; before opset 13, along that axis and all after it as one."""
    value = node[0]
    if node.opset >= 13:
        return by_jax(partial(function, axis=node.get("axis", -1)), value)
    axis, shape = node.get("axis", 1), np.shape(value)
    axis += len(shape) if axis < 0 else 0
    flat = value.reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))
    return by_jax(partial(function, axis=1), flat).reshape(shape)


def _hardmax(value: Any, axis: int) -> jax.Array:
    largest = jnp.argmax(value, axis=axis)
    return jax.nn.one_hot(largest, value.shape[axis], dtype=value.dtype, axis=axis)


def _gelu_by_tanh(value: Any) -> jax.Array:
    """Clipped where tanh has long been -1 or 1, for the cube of large numbers overflows."""
    within = jnp.clip(value, -30, 30)
    return 0.5 * value * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (within + 0.044715 * within**3)))


def _swish(value: Any, alpha: float) -> jax.Array:
    return value * jax.nn.sigmoid(alpha * value)
