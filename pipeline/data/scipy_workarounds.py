"""What is worked round in SciPy, all seen in SciPy 1.17.1: each function says the reason."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.stats import qmc


def skip_points(sobol: "qmc.Sobol", count: int) -> None:
    """Let a new Sobol sequence go on after its first points.

    SciPy's own `fast_forward` takes as many steps: at a billion points more time than all else.
    Point k (from 0) is the exclusive or of the directions that the Gray code of k names (Antonov &
    Saleev, USSR Comp. Math. 19, 1979), and of the scrambling's shift. Of SciPy's private state,
    `_quasi` is the last point drawn, at first the shift; `_sv` (dimensions, bits) the directions.

    Args:
        sobol: of which no point was drawn.
        count: of points to skip, at most 2**bits.
    """
    if count:
        last = count - 1
        code = last ^ (last >> 1)
        named = [bit for bit in range(sobol.bits) if code >> bit & 1]
        sobol._quasi ^= np.bitwise_xor.reduce(sobol._sv[:, named], axis=1)
        sobol.num_generated = count


def next_points(sobol: "qmc.Sobol", count: int) -> np.ndarray:
    """Return the next points (count, dimensions) of a Sobol sequence.

    SciPy warns when the first points drawn are not a power of two, as if no others could follow:
    the very first point is drawn alone.
    """
    if sobol.num_generated or count == 1:
        return sobol.random(count)
    return np.concatenate([sobol.random(1), sobol.random(count - 1)])
