"""Normalization."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import is_constant
from ._by_jax import by_jax
from ._norms import check_order, power, root


@operator("BatchNormalization")
def _(node: Node) -> Any:
    """With the mean and the variance of the training: a factor and a shift for each channel."""
    if node.get("training_mode", 0) or (node.opset < 14 and node.wants(1)):
        raise OnnxError(
            "it normalizes by the rows that come together, as in training, so no row has "
            "derivatives of its own; export the model in inference mode"
        )
    value, *parameters = (node[index] for index in range(5))
    xp = np if all(is_constant(parameter) for parameter in parameters) else jnp
    scale, bias, mean, variance = parameters
    factor = scale / xp.sqrt(variance + node.get("epsilon", 1e-5))
    shift = bias - mean * factor
    return value * _by_channel(factor, value.ndim) + _by_channel(shift, value.ndim)


@operator("LayerNormalization")
def _(node: Node) -> Any:
    value, scale, bias = node[0], node[1], node.get_input(2)
    axes = tuple(range(node.get("axis", -1) % value.ndim, value.ndim))
    mean = value.mean(axes, keepdims=True)
    apart = value - mean
    deviation = node.xp.sqrt((apart**2).mean(axes, keepdims=True) + node.get("epsilon", 1e-5))
    result = apart / deviation * scale
    return (result if bias is None else result + bias), mean, 1 / deviation


@operator("RMSNormalization")
def _(node: Node) -> Any:
    """By the root of the mean square. https://arxiv.org/abs/1910.07467"""
    value = node[0]
    axes = tuple(range(node.get("axis", -1) % value.ndim, value.ndim))
    mean_square = (value**2).mean(axes, keepdims=True)
    return value / node.xp.sqrt(mean_square + node.get("epsilon", 1e-5)) * node[1]


@operator("InstanceNormalization")
def _(node: Node) -> Any:
    """Each channel of each image by itself."""
    value = node[0]
    axes = tuple(range(2, value.ndim))
    return _affine(_standardized(value, axes, node), node[1], node[2])


@operator("GroupNormalization")
def _(node: Node) -> Any:
    """Some channels of an image together; scale and bias are the group's before opset 21."""
    value, groups = node[0], node.get("num_groups")
    n_images, channels = value.shape[:2]
    if groups < 1 or channels % groups:
        raise OnnxError(f"{channels} channels cannot be divided into {groups} groups")
    grouped = value.reshape(n_images, groups, channels // groups, *value.shape[2:])
    axes = tuple(range(2, grouped.ndim))
    result = _standardized(grouped, axes, node).reshape(value.shape)
    scale, bias = (_for_channels(node[index], channels) for index in (1, 2))
    return _affine(result, scale, bias)


@operator("LRN")
def _(node: Node) -> Any:
    """By the squares of the same pixel in channels nearby.

    https://proceedings.neurips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html
    """
    value, size = node[0], node.get("size")
    squares = by_jax(partial(_sum_of_channels, size=size), value**2)
    alpha, beta = node.get("alpha", 1e-4), node.get("beta", 0.75)
    return value / (node.get("bias", 1.0) + alpha / size * squares) ** beta


@operator("LpNormalization")
def _(node: Node) -> Any:
    """By the norm along an axis; zeros stay zeros."""
    value, xp, order = node[0], node.xp, check_order(node.get("p", 2))
    norm = root(power(value, order, xp).sum(node.get("axis", -1), keepdims=True), order, xp)
    return value / xp.where(norm == 0, 1, norm)


@operator("MeanVarianceNormalization")
def _(node: Node) -> Any:
    """By the standard deviation, to which 1e-9 is added as in the function of the standard."""
    value = node[0]
    axes = tuple(node.get("axes", [0, 2, 3]))
    apart = value - value.mean(axes, keepdims=True)
    return apart / (root((apart**2).mean(axes, keepdims=True), 2, node.xp) + 1e-9)


def _standardized(value: Any, axes: tuple[int, ...], node: Node) -> Any:
    """Return a value of mean 0 and variance 1 along some axes, but for the node's epsilon."""
    xp = np if is_constant(value) else jnp
    apart = value - value.mean(axes, keepdims=True)
    variance = (apart**2).mean(axes, keepdims=True)
    return apart / xp.sqrt(variance + node.get("epsilon", 1e-5))


def _affine(value: Any, scale: Any, bias: Any) -> Any:
    return value * _by_channel(scale, value.ndim) + _by_channel(bias, value.ndim)


def _by_channel(value: Any, rank: int) -> Any:
    return value.reshape([-1 if axis == 1 else 1 for axis in range(max(rank, 1))])


def _for_channels(value: Any, channels: int) -> Any:
    """Return one number for each channel, of one for each group of channels."""
    return value.repeat(channels // value.size) if value.size < channels else value


def _sum_of_channels(value: Any, size: int) -> jax.Array:
    """Return, for each channel, the sum over `size` channels with it in their middle."""
    window = [size if axis == 1 else 1 for axis in range(value.ndim)]
    before = (size - 1) // 2
    ends = [(before, size - 1 - before) if axis == 1 else (0, 0) for axis in range(value.ndim)]
    zero = np.zeros((), value.dtype)[()]
    return lax.reduce_window(jnp.asarray(value), zero, lax.add, window, [1] * value.ndim, ends)
