"""Operators that are written out for the conversion to ONNX.

Most, so that no number of theirs is rounded; some, which the exporter does not take.

ONNX keeps such numbers as a slope or an epsilon in float32, whatever the type of the arrays: in a
float64 run they would be all that is not exact.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# {operator: the same in others}, with all arguments of the operator in their order.
EXACT: dict[str, Callable[..., Any]] = {}


def _exact(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        EXACT.update(dict.fromkeys(names, function))
        return function

    return enter


def _number(value: Any) -> Any:
    """Return a number as an array, which is float64 while a program is converted."""
    return torch.tensor(value) if isinstance(value, float) else value


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _normalized(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centered = x - x.mean(list(axes), keepdim=True)
    variance = (centered * centered).mean(list(axes), keepdim=True)
    return centered / torch.sqrt(variance + _number(eps))


def _by_channel(array: Tensor | None, x: Tensor) -> Any:
    return None if array is None else array.reshape(1, -1, *[1] * (x.dim() - 2))


@_exact("batch_norm")
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
    scale = torch.rsqrt(variance + _number(eps))
    moved = (x - _by_channel(mean, x)) * _by_channel(scale, x)
    return _scaled(moved, _by_channel(weight, x), _by_channel(bias, x))


@_exact("layer_norm")
def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *_: Any,
) -> Tensor:
    return _scaled(_normalized(x, range(-len(shape), 0), eps), weight, bias)


@_exact("group_norm")
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


@_exact("instance_norm")
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


@_exact("leaky_relu")
def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, x * _number(slope))


@_exact("rrelu")
def _rrelu(x: Tensor, lower: float, upper: float, *_: Any) -> Tensor:
    return _leaky_relu(x, (lower + upper) / 2)


@_exact("elu")
def _elu(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    # What is not taken must be finite, and its derivatives, too.
    negative = torch.where(x > 0, torch.zeros_like(x), x)
    grown = torch.expm1(negative * _number(input_scale)) * _number(alpha * scale)
    return torch.where(x > 0, x * _number(scale), grown)


@_exact("celu")
def _celu(x: Tensor, alpha: float) -> Tensor:
    return _elu(x, alpha, 1, 1 / alpha)


@_exact("selu")
def _selu(x: Tensor) -> Tensor:
    return _elu(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1)


@_exact("hardsigmoid")
def _hardsigmoid(x: Tensor) -> Tensor:
    return torch.clamp(x + 3, 0, 6) / _number(6.0)


@_exact("hardswish")
def _hardswish(x: Tensor) -> Tensor:
    return x * _hardsigmoid(x)


@_exact("scaled_dot_product_attention")
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
        query, scale = query * _number(scale * math.sqrt(query.shape[-1])), None
    # The exporter takes four axes alone.
    arrays = [query, key, value]
    if query.dim() == 3:
        arrays = [array.unsqueeze(1) for array in arrays]
        mask = mask.unsqueeze(1) if mask is not None and mask.dim() == 3 else mask
    result = torch.ops.aten.scaled_dot_product_attention.default(
        *arrays, mask, dropout, is_causal, scale=scale, enable_gqa=grouped
    )
    return result.squeeze(1) if query.dim() == 3 else result


@_exact("cumprod")
def _cumprod(x: Tensor, axis: int, dtype: torch.dtype | None) -> Tensor:
    # ONNX has no operator for it.
    product, *rest = (x if dtype is None else x.to(dtype)).unbind(axis)
    products = [product]
    for factor in rest:
        products.append(products[-1] * factor)
    return torch.stack(products, axis)


@_exact("add")
def _add(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return x + (_number(other) if alpha == 1 else other * _number(alpha))


@_exact("sub", "subtract")
def _sub(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return x - (_number(other) if alpha == 1 else other * _number(alpha))


@_exact("rsub")
def _rsub(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return _number(other) - (x if alpha == 1 else x * _number(alpha))


@_exact("mul", "multiply")
def _mul(x: Tensor, other: Any) -> Tensor:
    return x * _number(other)


@_exact("div", "divide", "true_divide")
def _div(x: Tensor, other: Any, rounding: str | None = None) -> Tensor:
    return torch.div(x, _number(other), rounding_mode=rounding)


@_exact("pow")
def _pow(x: Any, exponent: Any) -> Tensor:
    return torch.pow(_number(x), exponent)


@_exact("log10")
def _log10(x: Tensor) -> Tensor:
    return torch.log(x) * _number(1 / math.log(10))


@_exact("log2")
def _log2(x: Tensor) -> Tensor:
    return torch.log(x) * _number(1 / math.log(2))


@_exact("sinc", "special_sinc")
def _sinc(x: Tensor) -> Tensor:
    angle = torch.where(x == 0, torch.ones_like(x), x * _number(math.pi))
    return torch.where(x == 0, torch.ones_like(x), torch.sin(angle) / angle)


@_exact("softplus")
def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = x * _number(float(beta))
    linear = scaled > _number(float(threshold))
    small = torch.where(linear, torch.zeros_like(x), scaled)
    return torch.where(linear, x, torch.log1p(torch.exp(small)) / _number(float(beta)))


@_exact("addmm")
def _addmm(x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    product = a @ b if alpha == 1 else (a @ b) * _number(alpha)
    return (x if beta == 1 else x * _number(beta)) + product


@_exact("linalg_vector_norm")
def _vector_norm(
    x: Tensor, order: float, axes: Sequence[int] | None, keep: bool, dtype: torch.dtype | None
) -> Tensor:
    if order in (0, 1, 2, math.inf, -math.inf):
        return torch.ops.aten.linalg_vector_norm.default(x, order, axes, keep, dtype=dtype)
    powers = torch.pow(torch.abs(x if dtype is None else x.to(dtype)), order)
    axes = list(range(x.dim())) if axes is None else list(axes)
    return torch.pow(powers.sum(axes, keepdim=keep), _number(1 / order))
