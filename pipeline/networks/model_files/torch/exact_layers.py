"""Layers and activations, with their numbers as arrays (see `exact.py`)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .exact import exact, number


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _normalized(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centered = x - x.mean(list(axes), keepdim=True)
    variance = (centered * centered).mean(list(axes), keepdim=True)
    return centered / torch.sqrt(variance + number(eps))


def _by_channel(array: Tensor | None, x: Tensor) -> Any:
    return None if array is None else array.reshape(1, -1, *[1] * (x.dim() - 2))


@exact("batch_norm")
def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    scale = torch.rsqrt(variance + number(eps))
    moved = (x - _by_channel(mean, x)) * _by_channel(scale, x)
    return _scaled(moved, _by_channel(weight, x), _by_channel(bias, x))


@exact("layer_norm")
def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *_: Any,
) -> Tensor:
    return _scaled(_normalized(x, range(-len(shape), 0), eps), weight, bias)


@exact("group_norm")
def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *_: Any,
) -> Tensor:
    normalized = _normalized(x.reshape(x.shape[0], groups, -1), [2], eps).reshape(x.shape)
    return _scaled(normalized, _by_channel(weight, x), _by_channel(bias, x))


@exact("instance_norm")
def _instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    if not use_input_stats and mean is not None and variance is not None:
        return _batch_norm(x, weight, bias, mean, variance, False, momentum, eps)
    normalized = _normalized(x, range(2, x.dim()), eps)
    return _scaled(normalized, _by_channel(weight, x), _by_channel(bias, x))


@exact("leaky_relu")
def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, x * number(slope))


@exact("rrelu")
def _rrelu(x: Tensor, lower: float, upper: float, *_: Any) -> Tensor:
    return _leaky_relu(x, (lower + upper) / 2)


@exact("elu")
def _elu(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    # What is not taken must be finite, and its derivatives, too.
    negative = torch.where(x > 0, torch.zeros_like(x), x)
    grown = torch.expm1(negative * number(input_scale)) * number(alpha * scale)
    return torch.where(x > 0, x * number(scale), grown)


@exact("celu")
def _celu(x: Tensor, alpha: float) -> Tensor:
    return _elu(x, alpha, 1, 1 / alpha)


@exact("selu")
def _selu(x: Tensor) -> Tensor:
    return _elu(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1)


@exact("hardsigmoid")
def _hardsigmoid(x: Tensor) -> Tensor:
    return torch.clamp(x + 3, 0, 6) / number(6.0)


@exact("hardswish")
def _hardswish(x: Tensor) -> Tensor:
    return x * _hardsigmoid(x)


@exact("scaled_dot_product_attention")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    is_causal: bool,
    scale: float | None,
    grouped: bool,
) -> Tensor:
    if scale is not None:
        query, scale = query * number(scale * math.sqrt(query.shape[-1])), None
    # The exporter takes four axes alone.
    arrays = [query, key, value]
    if query.dim() == 3:
        arrays = [array.unsqueeze(1) for array in arrays]
        mask = mask.unsqueeze(1) if mask is not None and mask.dim() == 3 else mask
    result = torch.ops.aten.scaled_dot_product_attention.default(
        *arrays, mask, dropout, is_causal, scale=scale, enable_gqa=grouped
    )
    return result.squeeze(1) if query.dim() == 3 else result


@exact("softplus")
def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = x * number(float(beta))
    linear = scaled > number(float(threshold))
    small = torch.where(linear, torch.zeros_like(x), scaled)
    return torch.where(linear, x, torch.log1p(torch.exp(small)) / number(float(beta)))


@exact("threshold")
def _threshold(x: Tensor, threshold: Any, value: Any) -> Tensor:
    return torch.where(x <= number(threshold), _like(value, x), x)


@exact("softshrink")
def _softshrink(x: Tensor, size: Any) -> Tensor:
    edge = number(float(size))
    shrunk = torch.where(x < -edge, x + edge, torch.zeros_like(x))
    return torch.where(x > edge, x - edge, shrunk)


@exact("clamp", "clip", "hardtanh")
def _clamp(x: Tensor, low: Any, high: Any) -> Tensor:
    # The exporter's optimizer mixes up the bounds where a maximum and a minimum follow each other.
    if low is not None:
        low = _like(low, x)
        x = torch.where(x < low, low, x)
    if high is not None:
        high = _like(high, x)
        x = torch.where(x > high, high, x)
    return x


@exact("clamp_min")
def _clamp_min(x: Tensor, low: Any) -> Tensor:
    return _clamp(x, low, None)


@exact("clamp_max")
def _clamp_max(x: Tensor, high: Any) -> Tensor:
    return _clamp(x, None, high)


def _like(value: Any, x: Tensor) -> Tensor:
    """Return a number as an array, of another's type where that can hold it."""
    if isinstance(value, Tensor):
        return value
    fits = x.is_floating_point() or not isinstance(value, float)
    return torch.tensor(value, dtype=x.dtype if fits else None)


@exact("rms_norm")
def _rms_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None, eps: float | None) -> Tensor:
    axes = list(range(-len(shape), 0))
    # What PyTorch takes without an epsilon is that of the type of the model, float32 as a rule.
    small = torch.finfo(torch.float32).eps if eps is None else eps
    size = torch.sqrt((x * x).mean(axes, keepdim=True) + number(small))
    return _scaled(x / size, weight, None)
