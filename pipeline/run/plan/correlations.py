"""Correlations of inputs, as they are configured: can they be?"""

import math
from collections.abc import Mapping, Sequence

from hyperdiag.derived.correlation import Correlations, factor, matrix_of
from hyperdiag.messages.errors import Problems, closest_or_all

_ROUNDING = 1e-12  # of a correlation that a covariance makes


def of_covariance(
    section: str, covariance: Mapping[str, Mapping[str, float]], problems: Problems
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the deviations and correlations of a covariance.

    Args:
        section: of the configuration, that says it.
        covariance: {input: {input: its variance, other input: covariance}}, a pair once or twice.
        problems: where what is wrong goes.
    """
    key = f"{section}.covariance"
    deviations: dict[str, float] = {}
    for name, others in covariance.items():
        variance = others.get(name, math.nan)
        if not 0 < variance < math.inf:
            problems.add(f"{key}.{name} needs a variance above zero: {{{name}: number}}")
            variance = 1.0
        deviations[name] = math.sqrt(variance)
    correlations: dict[str, dict[str, float]] = {}
    for name, others in covariance.items():
        for other, number in others.items():
            if other not in covariance:
                problems.add(f"{key}.{other} needs a variance: {{{other}: number}}")
            elif other != name:
                part = number / (deviations[name] * deviations[other])
                correlations.setdefault(name, {})[other] = part
    return deviations, correlations


def check_correlations(
    key: str, correlations: Correlations, names: Sequence[str], problems: Problems
) -> None:
    """Check that correlations are those of inputs with deviations, and can be.

    Args:
        key: of the configuration, that says them.
        correlations: {input: {other input: correlation}}.
        names: of the inputs with deviations.
        problems: where what is wrong goes.
    """
    pairs: dict[frozenset[str], float] = {}
    wrong = Problems()
    for first, others in correlations.items():
        for second, number in others.items():
            pair = frozenset((first, second))
            for name in sorted(pair - set(names)):
                wrong.add(f"{key}: '{name}' has no deviation{closest_or_all(name, names)}")
            if len(pair) < 2 or not abs(number) <= 1 + _ROUNDING:
                wrong.add(
                    f"{key}: that of '{first}' and '{second}' is {number}; it must be of two "
                    "inputs, and from -1 to 1"
                )
            if abs(pairs.setdefault(pair, number) - number) > _ROUNDING:
                wrong.add(f"{key}: that of '{first}' and '{second}' is said twice, and differs")
    problems.attempt(wrong.check)
    if not wrong:
        try:
            factor(matrix_of(names, correlations))
        except ValueError:
            problems.add(
                f"{key}: no inputs can have all of these together (the matrix is not positive "
                "semidefinite)"
            )
