"""Sums of floating-point numbers without any rounding, so that their order does not matter.

A finite float64 is a whole multiple of 2^-1074, and whole numbers of Python have any length.
"""

from fractions import Fraction

import numpy as np

_UNIT = 1074  # the smallest positive float64 is 2^-1074
_DIGITS = 53  # binary ones of a float64


class ExactSums:
    """Exact sums of float64 numbers, one for each of some positions.

    Args:
        size: how many positions there are.
    """

    def __init__(self, size: int):
        self._units = np.zeros(size, object)  # whole numbers, of 2^-1074
        self._infinite = np.zeros(size)

    def add(self, terms: np.ndarray) -> None:
        """Add the terms (terms, size) of each position; what is not finite makes a sum infinite."""
        for term in terms:
            finite = np.isfinite(term)
            if not finite.all():
                self._infinite[~finite] = np.inf
                term = np.where(finite, term, 0.0)
            self._units += _units(term)

    def terms(self) -> np.ndarray:
        """Return float64 numbers (terms, size) whose exact sums are these, the largest first.

        The same sums have the same terms.
        """
        first = self.rounded()
        terms, rest = [first], self._units - _units(np.where(np.isfinite(first), first, 0.0))
        rest[~np.isfinite(first)] = 0
        while rest.any():
            terms.append(np.array([_rounded(number) for number in rest.tolist()]))
            rest = rest - _units(terms[-1])
        return np.stack(terms)

    def rounded(self) -> np.ndarray:
        """Return the sums as the nearest float64 numbers, (size,)."""
        numbers = np.array([_rounded(number) for number in self._units.tolist()], np.float64)
        return numbers + self._infinite

    def fraction(self, position: int) -> Fraction | None:
        """Return a sum as a fraction; None where it is infinite."""
        if self._infinite[position]:
            return None
        return Fraction(self._units[position], 1 << _UNIT)


def _units(values: np.ndarray) -> np.ndarray:
    """Return finite float64 numbers as Python's whole numbers (object), in units of 2^-1074."""
    fraction, exponent = np.frexp(values)
    digits = np.ldexp(fraction, _DIGITS).astype(np.int64)
    shift = exponent.astype(np.int64) + (_UNIT - _DIGITS)
    # What a subnormal number has too few of are zeros.
    digits >>= np.clip(-shift, 0, _DIGITS)
    units: np.ndarray = digits.astype(object) << np.maximum(shift, 0).astype(object)
    return units


def _rounded(units: int) -> float:
    """Return a whole number of 2^-1074 as the nearest float64; infinite where none is near."""
    try:
        return units / (1 << _UNIT)
    except OverflowError:
        return float("inf") if units > 0 else float("-inf")


def two_terms(exact: Fraction) -> tuple[float, float]:
    """Return two float64 numbers whose sum is a fraction, to 106 binary digits."""
    try:
        first = float(exact)
    except OverflowError:
        return (float("inf") if exact > 0 else float("-inf")), 0.0
    return first, float(exact - Fraction(first))
