"""Operators that are written out for the conversion to ONNX.

Most, so that no number of theirs is rounded; some, which the exporter does not take.

ONNX, or the exporter to it, keeps such numbers as a slope or an epsilon in float32, whatever the
type of the arrays: in a float64 run they would be all that is not exact.
"""

from collections.abc import Callable
from typing import Any

import torch

# {operator: the same in others}, with all arguments of the operator in their order.
EXACT: dict[str, Callable[..., Any]] = {}


def exact(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function as what stands for operators."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        EXACT.update(dict.fromkeys(names, function))
        return function

    return enter


def number(value: Any) -> Any:
    """Return a number as an array, which is float64 while a program is converted."""
    return torch.tensor(value) if isinstance(value, float) else value
