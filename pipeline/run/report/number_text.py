"""Numbers as tables and sentences write them; `browser/tables.js` does the same in the page."""

from decimal import ROUND_HALF_UP, Context

_FOUR_DIGITS = Context(prec=4, rounding=ROUND_HALF_UP)
_LEAST, _MOST = 1e-4, 1e6  # of the sizes that are written without a power of ten


def number(
    value: float | None, scale: float | None = 1.0, power: int = 1, missing: str = "–"
) -> str:
    """Return a number times a power of a scale, to four digits.

    Args:
        value: finite; None: there is none.
        scale: finite; None: there is none.
        power: of the scale.
        missing: what is returned where there is none.

    Returns:
        `0.0001234`, `123500`, `4.508e+09`.
    """
    if value is None or scale is None:
        return missing
    rounded = float(_FOUR_DIGITS.create_decimal_from_float(value * scale**power)) + 0.0  # no -0
    plain = rounded == 0 or _LEAST <= abs(rounded) < _MOST
    return f"{rounded:.0f}" if plain and abs(rounded) >= 1000 else f"{rounded:.4g}"
