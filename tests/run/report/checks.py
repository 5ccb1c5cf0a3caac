"""Numbers of a report, held against those of all rows."""

import math

import pytest

from .tables import column

# A report has six digits.
DIGITS = 1e-5
# What a summary promises of quantiles.
QUANTILE = 0.01
NAMES = ("count", "mean", "deviation", "minimum", "maximum", "positive", "negative")


def close(number, expected, relative=DIGITS, scale=0.0):
    return number == pytest.approx(expected, rel=relative, abs=max(relative * scale, 1e-12))


def strongest_first(data, output, where="true"):
    """Inputs of an output, by the root mean square of J, over some rows, times their deviation."""

    def strength(name):
        square = data.numbers(column("jacobian", output, name), where)["mean_square", None]
        return math.sqrt(square) * data.numbers(column("input", None, name))["deviation", None]

    return sorted(data.inputs, key=strength, reverse=True)


def check_errors(shown, errors, at=None):
    """Check the standard errors of one column."""
    mean, most, by_fourth_powers = errors
    names = ("mean_error", "root_mean_square_error")
    mean_shown, most_shown = (shown[n] if at is None else shown[n][at] for n in names)
    assert close(mean_shown, mean)
    assert close(most_shown, most)
    if most > 0:  # else the column is constant
        assert by_fourth_powers <= most_shown * (1 + DIGITS) + 1e-12


def check_statistics(shown, numbers, at=None):
    """Check the statistics of one column; `at`: the place in lists by input."""
    for name in NAMES:
        number = shown[name] if at is None else shown[name][at]
        # The mean of what cancels is known as well as what it is the mean of.
        scale = math.sqrt(numbers["mean_square", None]) if name == "mean" else 0.0
        assert close(number, numbers[name, None], scale=scale), name
    number = shown["root_mean_square"] if at is None else shown["root_mean_square"][at]
    assert close(number, math.sqrt(numbers["mean_square", None]))
