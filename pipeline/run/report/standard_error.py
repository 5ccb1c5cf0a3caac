"""Standard errors of a mean and of a root mean square, from the statistics that a run keeps.

They say how far such a number may lie from that over all rows that there could be, if the rows are
independent draws of those. Over the rows themselves it is exact: of rows that are all that there
are, nothing is uncertain. Of rows that resemble their neighbours (a time series) errors are larger,
of a design that covers its box evenly smaller, than these.

An interval of 1.96 of them to each side holds the true number less often than 95 times in 100 where
few rows decide, or rare large ones, of which a sample may have none; and of J s, where s is
estimated from the same rows, since these errors take s as exact. Of fewer than `LEAST_ROWS` rows
there are none.
"""

import numpy as np

LEAST_ROWS = 30  # fewer tell too little of how much they vary


def of_mean(count: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the standard error of a mean: d / sqrt(N - 1), which is s / sqrt(N).

    d is the standard deviation of the N rows as a population, s = d sqrt(N / (N - 1)) that of a
    sample (Student, The probable error of a mean, Biometrika 6, 1908).

    Args:
        count: float64, how many rows each number is of.
        deviation: float64, of the same shape.

    Returns:
        float64, of the same shape, in units of the number; NaN where rows are too few.
    """
    return deviation / _freedom(count)


def most_of_root_mean_square(
    count: np.ndarray, mean_square: np.ndarray, minimum: np.ndarray, maximum: np.ndarray
) -> np.ndarray:
    """Return what the standard error of a root mean square is at most: sqrt((M - q) / (N - 1)) / 2.

    At most as far as these rows tell: of all rows that there could be, M may be larger.

    q is the mean of the squares, M the largest of them. By the delta method the standard error of
    sqrt(q) is that of q over 2 sqrt(q): sqrt(v / (N - 1)) / (2 sqrt(q)), v being the variance of
    the squares as a population. That takes fourth powers, which a run does not keep; but squares
    lie between 0 and M, so that v <= (M - q) q (Bhatia and Davis, A better bound on the variance,
    American Mathematical Monthly 107, 2000): equal where each square is 0 or M.

    Args:
        count: float64, how many rows each number is of.
        mean_square, minimum, maximum: float64, of the same shape.

    Returns:
        float64, of the same shape, in units of the number; NaN where rows are too few.
    """
    largest = np.maximum(np.square(minimum), np.square(maximum))
    # Of equal squares their mean may be rounded up.
    return np.sqrt(np.maximum(largest - mean_square, 0.0)) / _freedom(count) / 2


def _freedom(count: np.ndarray) -> np.ndarray:
    return np.sqrt(np.where(count >= LEAST_ROWS, count - 1, np.nan))
