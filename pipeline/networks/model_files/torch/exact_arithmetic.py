"""Arithmetic with numbers, as arrays (see `exact.py`), and arrays that are made of numbers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .exact import exact, number


@exact("cumprod")
def _cumprod(x: Tensor, axis: int, dtype: torch.dtype | None) -> Tensor:
    # ONNX has no operator for it.
    product, *rest = (x if dtype is None else x.to(dtype)).unbind(axis)
    products = [product]
    for factor in rest:
        products.append(products[-1] * factor)
    return torch.stack(products, axis)


@exact("add")
def _add(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return x + (number(other) if alpha == 1 else other * number(alpha))


@exact("sub", "subtract")
def _sub(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return x - (number(other) if alpha == 1 else other * number(alpha))


@exact("rsub")
def _rsub(x: Tensor, other: Any, alpha: Any) -> Tensor:
    return number(other) - (x if alpha == 1 else x * number(alpha))


@exact("mul", "multiply")
def _mul(x: Tensor, other: Any) -> Tensor:
    return x * number(other)


@exact("div", "divide", "true_divide")
def _div(x: Tensor, other: Any, rounding: str | None = None) -> Tensor:
    return torch.div(x, number(other), rounding_mode=rounding)


@exact("pow")
def _pow(x: Any, exponent: Any) -> Tensor:
    return torch.pow(number(x), exponent)


@exact("log10")
def _log10(x: Tensor) -> Tensor:
    return torch.log(x) * number(1 / math.log(10))


@exact("log2")
def _log2(x: Tensor) -> Tensor:
    return torch.log(x) * number(1 / math.log(2))


@exact("sinc", "special_sinc")
def _sinc(x: Tensor) -> Tensor:
    angle = torch.where(x == 0, torch.ones_like(x), x * number(math.pi))
    return torch.where(x == 0, torch.ones_like(x), torch.sin(angle) / angle)


@exact("addmm")
def _addmm(x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    product = a @ b if alpha == 1 else (a @ b) * number(alpha)
    return (x if beta == 1 else x * number(beta)) + product


@exact("linalg_vector_norm")
def _vector_norm(
    x: Tensor, order: float, axes: Sequence[int] | None, keep: bool, dtype: torch.dtype | None
) -> Tensor:
    if order in (0, 1, 2, math.inf, -math.inf):
        return torch.ops.aten.linalg_vector_norm.default(x, order, axes, keep, dtype=dtype)
    powers = torch.pow(torch.abs(x if dtype is None else x.to(dtype)), order)
    axes = list(range(x.dim())) if axes is None else list(axes)
    return torch.pow(powers.sum(axes, keepdim=keep), number(1 / order))


@exact("addmv")
def _addmv(x: Tensor, matrix: Tensor, vector: Tensor, beta: Any, alpha: Any) -> Tensor:
    return _addmm(x, matrix, vector, beta, alpha)


@exact("baddbmm")
def _baddbmm(x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    return _addmm(x, a, b, beta, alpha)


@exact("lerp")
def _lerp(x: Tensor, end: Tensor, weight: Any) -> Tensor:
    return x + number(weight) * (end - x)


@exact("addcmul")
def _addcmul(x: Tensor, a: Tensor, b: Tensor, value: Any) -> Tensor:
    return x + number(value) * a * b


@exact("addcdiv")
def _addcdiv(x: Tensor, a: Tensor, b: Tensor, value: Any) -> Tensor:
    return x + number(value) * a / b


@exact("fmod")
def _fmod(x: Tensor, other: Any) -> Tensor:
    return torch.fmod(x, number(other))


@exact("remainder")
def _remainder(x: Any, other: Any) -> Tensor:
    return torch.remainder(number(x), number(other))


@exact("xlogy", "special_xlogy")
def _xlogy(x: Any, other: Any) -> Tensor:
    return torch.special.xlogy(number(x), number(other))


@exact("nan_to_num")
def _nan_to_num(x: Tensor, nan: float | None, high: float | None, low: float | None) -> Tensor:
    x = torch.where(torch.isnan(x), number(float(nan or 0)), x)
    return torch.nan_to_num(x, 0.0, high, low)


@exact("deg2rad")
def _deg2rad(x: Tensor) -> Tensor:
    return x * number(math.pi / 180)


@exact("rad2deg")
def _rad2deg(x: Tensor) -> Tensor:
    return x * number(180 / math.pi)


@exact("pairwise_distance")
def _pairwise_distance(x: Tensor, other: Tensor, order: float, eps: float, keep: bool) -> Tensor:
    return _vector_norm(x - other + number(eps), order, [-1], keep, None)


@exact("where")
def _where(condition: Tensor, x: Any, other: Any) -> Tensor:
    return torch.where(condition, number(x), number(other))


@exact("masked_fill")
def _masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    filled = value if isinstance(value, Tensor) else torch.tensor(value, dtype=x.dtype)
    return torch.where(mask, filled, x)


@exact("index_fill")
def _index_fill(x: Tensor, axis: int, index: Tensor, value: Any) -> Tensor:
    if index.numel() == 0:
        return x.clone()
    places = torch.arange(x.shape[axis])[:, None] == index.reshape(1, -1) % x.shape[axis]
    shape = [1] * x.dim()
    shape[axis] = x.shape[axis]
    return _masked_fill(x, places.any(1).reshape(shape), value)


@exact("full")
def _full(size: Sequence[int], value: Any, dtype: torch.dtype | None, *_: Any) -> Tensor:
    return _filled(value, dtype, size)


@exact("full_like")
def _full_like(x: Tensor, value: Any, dtype: torch.dtype | None, *_: Any) -> Tensor:
    return _filled(value, dtype or x.dtype, x.shape)


@exact("new_full")
def _new_full(
    x: Tensor, size: Sequence[int], value: Any, dtype: torch.dtype | None, *_: Any
) -> Tensor:
    return _filled(value, dtype or x.dtype, size)


@exact("fill")
def _fill(x: Tensor, value: Any) -> Tensor:
    return _filled(value, x.dtype, x.shape)


def _filled(value: Any, dtype: torch.dtype | None, size: Sequence[int]) -> Tensor:
    filled = value.to(dtype) if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)
    return filled.expand(list(size)).clone()  # which may be written to


@exact("scalar_tensor")
def _scalar_tensor(value: Any, dtype: torch.dtype | None, *_: Any) -> Tensor:
    return torch.tensor(value, dtype=dtype)


@exact("linspace")
def _linspace(start: Any, end: Any, steps: int, dtype: torch.dtype | None, *_: Any) -> Tensor:
    if dtype is not None and not dtype.is_floating_point:
        return torch.linspace(start, end, steps, dtype=dtype)
    places = torch.arange(steps, dtype=dtype) / max(steps - 1, 1)
    return number(start) + (number(end) - number(start)) * places


@exact("arange")
def _arange(*arguments: Any) -> Tensor:
    *ends, dtype, _layout, _device, _pin_memory = arguments
    whole = dtype is not None and not dtype.is_floating_point
    if whole or not any(isinstance(end, float) for end in ends):
        return torch.arange(*ends, dtype=dtype)
    start, end, step = (0.0, *ends, 1.0) if len(ends) == 1 else (*ends, 1.0)[:3]
    places = torch.arange(math.ceil((end - start) / step), dtype=dtype)
    return number(float(start)) + number(float(step)) * places
