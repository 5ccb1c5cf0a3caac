"""Norms, whose derivatives are zero, not undefined, where the norm itself is zero."""

from typing import Any

from .._refusal import OnnxError


def check_order(order: Any) -> int:
    """Return the order of a norm.

    Raises:
        OnnxError: if it is not a whole number from 1.
    """
    if int(order) != order or order < 1:
        raise OnnxError(f"norms of order {order} are not computed; it must be 1, 2, 3, ...")
    return int(order)


def power(value: Any, order: int, xp: Any) -> Any:
    """Return |v|^p, without the kink of |v| where p is even.

    Args:
        value: v.
        order: p.
        xp: NumPy, or JAX's.
    """
    return (value if order % 2 == 0 else xp.abs(value)) ** order


def root(value: Any, order: int, xp: Any) -> Any:
    """Return v^(1/p) of v >= 0; at 0 its derivatives are taken to be zero.

    Args:
        value: v.
        order: p.
        xp: NumPy, or JAX's.
    """
    if order == 1:
        return value
    inside = xp.where(value > 0, value, 1)
    return xp.where(value > 0, xp.sqrt(inside) if order == 2 else inside ** (1 / order), 0)
