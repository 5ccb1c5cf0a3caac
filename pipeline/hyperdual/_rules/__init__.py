"""The rules, one file for each family of primitives; importing this enters them all.

Each rule's docstring says what its primitives do, which operands and parameters they have in a
traced program, and shows a small function of x, shape (n,), at a point: `derive` prints its value,
shape (m,), Jacobian J, shape (m, n), and Hessian diagonal D, shape (m, n). The function `derive` is
in `tests/hyperdual/test_rules_examples.py`, where the examples are run by each method.
"""

from . import (
    calls,
    control_flow,
    convolution,
    elementwise,
    extremes,
    indexing,
    linear,
    multilinear,
    reshape,
    scan,
    shapes,
    sums,
    windows,
)

__all__ = [
    "calls",
    "control_flow",
    "convolution",
    "elementwise",
    "extremes",
    "indexing",
    "linear",
    "multilinear",
    "reshape",
    "scan",
    "shapes",
    "sums",
    "windows",
]
