"""Derivatives of a function that can only be evaluated."""

import numpy as np


def differences(function, points, steps):
    """Return first and second derivatives by central differences of the fourth order.

    Args:
        function: of points (rows, n), float64, to values (rows, m).
        points: (rows, n).
        steps: (n,).

    Returns:
        Each (rows, m, n), times the steps, or their squares: in the units of the values.
    """
    first, second = [], []
    for direction in np.diag(steps):
        at = {k: function(points + k * direction) for k in (-2, -1, 0, 1, 2)}
        first.append((8 * (at[1] - at[-1]) - (at[2] - at[-2])) / 12)
        second.append((16 * (at[1] + at[-1]) - at[2] - at[-2] - 30 * at[0]) / 12)
    return np.stack(first, axis=-1), np.stack(second, axis=-1)
