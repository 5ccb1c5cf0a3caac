"""Correlations of inputs: their matrix, and a factor of it."""

from collections.abc import Mapping, Sequence
from math import sqrt

Correlations = Mapping[str, Mapping[str, float]]
Matrix = list[list[float]]

# Of a matrix whose diagonal is 1: pivots that are taken for zero, and what may be lost by that.
_ROUNDING, _LOST = 1e-12, 1e-10


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
    """Return L (k, k) with L L^T = the matrix: Cholesky's with pivots, in Python's floats.

    The largest pivot that is left is taken, so that of a matrix that is singular, or nearly, little
    is lost: L is triangular but for the order of its rows, and has zero columns where inputs are
    told by others. A linear algebra library would give other last bits on other machines. Source:
    G. H. Golub and C. F. Van Loan, Matrix Computations, 4th edition, section 4.2.8.

    Raises:
        ValueError: if the matrix, symmetric with ones on its diagonal, is not positive
            semidefinite.
    """
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    left = {row: matrix[row][row] for row in range(size)}  # of the diagonal
    for column in range(size):
        pivot = max(left, key=lambda row: left[row])  # of equal ones the first
        rest = left.pop(pivot)
        if rest <= _ROUNDING:
            break
        lower[pivot][column] = sqrt(rest)
        for row in left:
            known = sum(a * b for a, b in zip(lower[row], lower[pivot], strict=True))
            lower[row][column] = (matrix[row][pivot] - known) / lower[pivot][column]
            left[row] -= lower[row][column] ** 2
    for first in range(size):
        for second in range(size):
            product = sum(a * b for a, b in zip(lower[first], lower[second], strict=True))
            if abs(matrix[first][second] - product) > _LOST:
                raise ValueError("not positive semidefinite")
    return lower
