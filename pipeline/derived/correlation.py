"""Correlations of inputs: their matrix, and a factor of it."""

from collections.abc import Mapping, Sequence
from math import sqrt

Correlations = Mapping[str, Mapping[str, float]]
Matrix = list[list[float]]

_ROUNDING = 1e-12  # of a matrix whose diagonal is 1


def matrix_of(names: Sequence[str], correlations: Correlations) -> Matrix:
    """Return the matrix (k, k) of k inputs: symmetric, 1 on the diagonal, 0 where nothing is said.

    Args:
        names: of the inputs.
        correlations: {input: {other input: correlation}}, each pair in either order.
    """
    matrix = [[1.0 if a == b else 0.0 for b in names] for a in names]
    at = {name: position for position, name in enumerate(names)}
    for first, others in correlations.items():
        for second, number in others.items():
            matrix[at[first]][at[second]] = matrix[at[second]][at[first]] = number
    return matrix


def factor(matrix: Matrix) -> Matrix:
    """Return lower triangular L (k, k) with L L^T = the matrix: Cholesky's, in Python's floats.

    A linear algebra library would give other last bits on other machines. Source: G. H. Golub and
    C. F. Van Loan, Matrix Computations, 4th edition, section 4.2.8 (semidefinite matrices), without
    pivoting.

    Raises:
        ValueError: if the matrix, symmetric with ones on its diagonal, is not positive
            semidefinite.
    """
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    for column in range(size):
        before = lower[column][:column]
        rest = matrix[column][column] - sum(entry * entry for entry in before)
        if rest < -_ROUNDING:
            raise ValueError("not positive semidefinite")
        for row in range(column, size):
            left = matrix[row][column] - sum(
                a * b for a, b in zip(lower[row][:column], before, strict=True)
            )
            if rest > _ROUNDING:
                lower[row][column] = left / sqrt(rest)
            elif abs(left) > sqrt(_ROUNDING):
                raise ValueError("not positive semidefinite")
    return lower
