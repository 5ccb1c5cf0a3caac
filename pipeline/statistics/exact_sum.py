"""Sums of floating-point numbers without any rounding, so that their order does not matter.

A finite float64 is a whole multiple of 2^-1074. Of such multiples, sums are kept as digits to the
base 2^32, each with room for carries: a superaccumulator (Kulisch, 1971).
"""

import numpy as np

_UNIT = 1074  # the smallest positive float64 is 2^-1074
UNIT = 1 << _UNIT
_PRECISION = 53  # binary digits of a float64
_BASE = 32  # binary digits of a digit of a sum; of 63, the others take up 2^30 carries
_MASK = (1 << _BASE) - 1
# Of a shard, the largest term: of ten million shards, ten terms each, sums are float64 numbers.
# Were some infinite that are sums of others, it would matter which were added up first.
_MOST = 2.0**992
# Sums and squares of the largest numbers are infinite, as the page of runs says: no warning.
beyond_float64 = np.errstate(over="ignore", invalid="ignore")
_CARRIES = 2  # digits beyond the highest: one of the number, one of what is carried


class ExactSums:
    """Exact sums of float64 numbers, one for each of some positions.

    Args:
        size: how many positions there are.
    """

    def __init__(self, size: int):
        # Of all 66 digits, those from the lowest to the highest that some number has.
        self._digits = np.zeros((size, _CARRIES + 1), np.int64)
        self._lowest = _UNIT // _BASE  # that of 1
        self._infinite = np.zeros(size)
        self._at = np.arange(size)

    def add(self, terms: np.ndarray, at: np.ndarray | None = None) -> None:
        """Add terms (terms, size) of each position; what is not finite makes a sum infinite.

        Args:
            terms: float64.
            at: the positions, each once, where terms are of some of them.
        """
        at = self._at if at is None else at
        for term in terms:
            finite = np.isfinite(term)
            if not finite.all():
                self._infinite[at[~finite]] = np.inf
                term = np.where(finite, term, 0.0)
            self._add(term, at)

    def resize(self, size: int) -> None:
        """Have more positions, with sums of zero."""
        more = size - self._at.size
        self._digits = np.pad(self._digits, ((0, more), (0, 0)))
        self._infinite = np.pad(self._infinite, (0, more))
        self._at = np.arange(size)

    def _add(self, term: np.ndarray, at: np.ndarray) -> None:
        fraction, exponent = np.frexp(term)
        number = np.ldexp(fraction, _PRECISION).astype(np.int64)
        shift = exponent.astype(np.int64) + (_UNIT - _PRECISION)
        number >>= np.clip(-shift, 0, _PRECISION)  # zeros, of subnormal numbers
        place, rest = np.divmod(np.maximum(shift, 0), _BASE)
        lowest, highest = place.min(initial=self._lowest), place.max(initial=self._lowest)
        self._make_room(int(lowest), int(highest))
        place -= self._lowest
        low, high = (number & _MASK) << rest, (number >> _BASE) << rest
        self._digits[at, place] += low & _MASK
        self._digits[at, place + 1] += (low >> _BASE) + (high & _MASK)
        self._digits[at, place + 2] += high >> _BASE

    def _make_room(self, lowest: int, highest: int) -> None:
        """Have digits for numbers that begin between two places."""
        before = max(self._lowest - lowest, 0)
        after = max(highest + _CARRIES + 1 - self._lowest - self._digits.shape[1], 0)
        if before or after:
            self._digits = np.pad(self._digits, ((0, 0), (before, after)))
            self._lowest -= before

    def _carry(self) -> None:
        """Let all digits but the highest, which has the sign, be from 0 to 2^32 - 1."""
        digits = self._digits
        for place in range(digits.shape[1] - 1):
            digits[:, place + 1] += digits[:, place] >> _BASE
            digits[:, place] &= _MASK

    def _units(self) -> list[int]:
        """Return the sums as whole numbers, of 1 / `UNIT`, without those that are infinite."""
        self._carry()
        width = 4 * (self._digits.shape[1] - 1)
        lower = self._digits[:, :-1].astype("<u4").tobytes()
        return [
            (int.from_bytes(lower[at * width : (at + 1) * width], "little") + (top << 8 * width))
            << _BASE * self._lowest
            for at, top in enumerate(self._digits[:, -1].tolist())
        ]

    def terms(self) -> np.ndarray:
        """Return float64 numbers (terms, size) whose exact sums are these, the largest first.

        The same sums have the same terms.
        """
        terms: list[np.ndarray] = []
        # Beside what is infinite nothing else is seen.
        rest = [units or 0 for units in self.units()]
        while not terms or any(rest):
            term = np.array([quotient(units, UNIT) for units in rest], np.float64)
            # Of a sum that no float64 is near, nothing is left but that it is infinite.
            parts = ExactSums(len(rest))
            parts.add(np.where(np.isfinite(term), term, 0.0)[None])
            pairs = zip(rest, parts._units(), np.isfinite(term), strict=True)
            rest = [units - part if finite else 0 for units, part, finite in pairs]
            terms.append(term)
        terms[0] = terms[0] + self._infinite
        return np.stack(terms)

    def rounded(self) -> np.ndarray:
        """Return the sums as the nearest float64 numbers, (size,)."""
        numbers = np.array([quotient(units, UNIT) for units in self._units()], np.float64)
        return numbers + self._infinite

    def units(self) -> list[int | None]:
        """Return the sums as whole numbers, of 1 / `UNIT`; None where one is infinite."""
        return [
            None if infinite else units
            for units, infinite in zip(self._units(), self._infinite, strict=True)
        ]


def terms_of_shard(numbers: np.ndarray) -> np.ndarray:
    """Return numbers of a shard as terms for `add`: those beyond 4e298 in size are infinite."""
    return np.where(np.abs(numbers) <= _MOST, numbers, np.inf)


def quotient(numerator: int, denominator: int) -> float:
    """Return a quotient of whole numbers as the nearest float64; infinite where none is near."""
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")
