"""Sums about an origin near the numbers, and from these, without any rounding, those about zero.

Of numbers that are close together beside their size, plain sums of squares would leave nothing of
the deviation.
"""

import numpy as np

from .exact_sum import terms_of_shard

# Of a float32, what is its first part: products of two parts, and a count of rows, have no rounding
# in float64.
_DIGITS = np.uint32(0xFFFFF000)
_FLOAT32 = np.finfo(np.float32).min, np.finfo(np.float32).max
_SPLIT = float((1 << 27) + 1)  # of a float64, in two halves (Dekker 1971)


def origin_near(numbers: np.ndarray) -> np.ndarray:
    """Return each number as float32, (2, numbers): the sum of two parts of 12 binary digits."""
    nearest = np.clip(numbers, *_FLOAT32).astype(np.float32)
    first = (nearest.view(np.uint32) & _DIGITS).view(np.float32)
    return np.stack([first, nearest - first]).astype(np.float64)


def about_zero(
    rows: int | np.ndarray, origin: np.ndarray, sums: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and sums of squares of numbers x = o + d, from those of d.

    sum x = sum d + n o, and sum x^2 = sum d^2 + 2 o sum d + n o^2.

    Args:
        rows: n, at most 2^28, for all numbers or for each.
        origin: o, of `origin_near`.
        sums, squares: sum d and sum d^2, (numbers,) each.

    Returns:
        Terms (terms, numbers) of each, whose exact sums they are.
    """
    first, second = origin
    big = _SPLIT * sums
    upper = big - (big - sums)
    halves = upper, sums - upper
    products = [2 * part * half for part in origin for half in halves]
    products += [rows * (first * first), 2 * rows * (first * second), rows * (second * second)]
    terms = np.stack([sums, rows * first, rows * second]), np.stack([squares, *products])
    return terms_of_shard(terms[0]), terms_of_shard(terms[1])
