"""Which quantiles say something: those that a run keeps are within 0.8% of the number.

They come from histograms whose bins are as wide as that (`hyperdiag.statistics.histogram`). Of
numbers that vary little beside their size, such as 1000 +- 1, all lie in few bins, and what looks
like their distribution is that of the bins.
"""

import numpy as np

from hyperdiag.statistics.histogram import PRECISION

from .summary_batch import FIRST_QUANTILE, OF_GROUPS

SAID = f"within {PRECISION:.1%}"
_MOST = 0.1  # of the deviation, that a quantile may be off
WHY_COARSE = (
    f"Quantiles are kept to {PRECISION:.1%} of the number, which here is more than a tenth of the "
    "deviation: they would show the rounding, and not how the rows are distributed."
)
# Of tables.
QUANTILES_NOTE = (
    f"Quantiles are {SAID} of the number; a dash stands where that is more than a tenth of "
    "the deviation."
)


def are_coarse(numbers: np.ndarray) -> np.ndarray:
    """Return whether quantiles may be off by more than a tenth of the numbers' deviation.

    Quantiles of equal numbers are exact, since a run keeps none beyond the extremes.

    Args:
        numbers: float64 (statistics, ...), in the order of STATISTICS.

    Returns:
        bool (...).
    """
    minimum, maximum = (numbers[OF_GROUPS.index(name)] for name in ("minimum", "maximum"))
    quantiles = numbers[FIRST_QUANTILE:]
    largest = np.maximum(np.fmax.reduce(quantiles), -np.fmin.reduce(quantiles))
    deviation = np.nan_to_num(numbers[OF_GROUPS.index("deviation")], nan=np.inf)
    coarse: np.ndarray = (minimum != maximum) & (PRECISION * largest > _MOST * deviation)
    return coarse
