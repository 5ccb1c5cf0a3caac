"""`propagation`: what uncertain inputs make of each output, its mean shift and its deviation.

With y expanded to second order at the row's point, and inputs that are normal about it, with
standard deviations s_i and correlations r_ij (S_ij = r_ij s_i s_j):

    independent          mean shift = 1/2 sum_i D_i s_i^2
                         variance   = sum_i J_i^2 s_i^2 + 1/2 sum_i D_i^2 s_i^4
    with the Hessian H   mean shift = 1/2 tr(H S)
                         variance   = J S J^T + 1/2 tr((H S)^2)

Unit: that of the output. These are mean and variance of the expansion, to the last digit: of a
quadratic form of normal variables (A. M. Mathai and S. B. Provost, Quadratic Forms in Random
Variables, 1992, theorem 3.2b.2). The first two lines leave out the mixed derivatives, which
`hessian_diag` does not have: they are the same as the last two where these are zero and nothing is
correlated. The note to 5.1.2 in JCGM 100:2008 (GUM) has other terms of second order,
(1/2 H_ij^2 + J_i d3y/dx_i dx_j^2) s_i^2 s_j^2: those of an expansion to third order, which takes
third derivatives.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hyperdiag.data.blocks import Block

from .correlation import Correlations, Matrix, factor, matrix_of
from .kind import Amounts, Kind, columns_in
from .rows import Names, Rows, added


@dataclass(frozen=True)
class Propagation(Kind):
    """Mean shift and standard deviation of each output.

    Attributes:
        deviations: {input: standard deviation, or its column}; other inputs are exact.
        correlations: {input: {other input: correlation}}; pairs that are not named have none.
        cross_terms: whether the whole Hessian is taken; needed where there are correlations.
    """

    deviations: Amounts
    correlations: Correlations = field(default_factory=dict)
    cross_terms: bool = False

    @property
    def deviation_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold standard deviations."""
        return columns_in(self.deviations)

    def blocks(self, names: Names) -> list[Block]:
        """Return mean shift and standard deviation, a number for each output."""
        outputs = self.output_axis(names)
        return [
            Block("mean_shift", "propagation", "of the output", (outputs,)),
            Block("std", "propagation", "of the output", (outputs,)),
        ]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return mean shift and standard deviation, (rows, m) each."""
        names = [name for name in rows.names.directions if name in self.deviations]
        if self.cross_terms:
            return self._with_cross_terms(rows, names)
        shift, variance = rows.zeros(), rows.zeros()
        for name in names:
            deviation = rows.amount(self.deviations[name])
            move = rows.jacobian(name) * deviation
            bend = rows.hessian_diag(name) * (deviation * deviation)
            shift += bend
            variance += move * move + 0.5 * (bend * bend)
        return [0.5 * shift, np.sqrt(variance)]

    def _with_cross_terms(self, rows: Rows, names: list[str]) -> list[np.ndarray]:
        """Return the same of the whole Hessian.

        With S = L L^T the variance is a sum of squares, of L^T J and of the entries of
        G = L^T H L, half of these, so that no rounding makes it negative; L holds the deviations.
        """
        lower = factor(matrix_of(names, self.correlations))
        deviations = [rows.amount(self.deviations[name]) for name in names]
        moves = [rows.jacobian(n) * s for n, s in zip(names, deviations, strict=True)]

        def bends(row: int, column: int) -> Iterator[np.ndarray]:
            """Yield the terms of an entry of H L, the deviations of its row included."""
            for other in range(len(names)):
                if lower[other][column]:
                    bend = rows.hessian(names[row], names[other])
                    yield bend * (lower[other][column] * deviations[row] * deviations[other])

        shift, variance = rows.zeros(), rows.zeros()
        for column in range(len(names)):
            if not any(row[column] for row in lower):
                break  # the other inputs are told by those before
            move = added(_times(lower, column, moves))
            variance += move * move
            products = [added(bends(row, column)) for row in range(len(names))]
            for before in range(column + 1):
                entry = added(_times(lower, before, products))
                variance += (0.5 if before == column else 1.0) * (entry * entry)
            shift += entry
        return [0.5 * shift, np.sqrt(variance)]


def _times(lower: Matrix, column: int, arrays: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the terms of a column of L, transposed, times arrays."""
    for row in range(len(arrays)):
        if lower[row][column]:
            yield lower[row][column] * arrays[row]
