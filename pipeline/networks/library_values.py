"""Whether a network computes what the library computes from which it came."""

import jax
import numpy as np

from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError, first_line

from .network import Network

_SAMPLE = 8  # points
# Of the largest value of an output: rounding stays below, another network does not. A library may
# compute in float32 whatever is asked.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-4}


def library_difference(network: Network, dtype: str) -> float | None:
    """Return how far a network's values are from those of its library, at points drawn.

    Args:
        network: which.
        dtype: in which the network is computed.

    Returns:
        The largest difference, over the largest value of the same output; None where there is no
        library to ask.

    Raises:
        UsageError: if the library fails, or its values are others than the network's.
    """
    if network.library_values is None:
        return None
    points = network.typical_points(_SAMPLE).astype(np.float32).astype(np.float64)
    try:
        wanted = network.library_values(points)
    except Exception as error:  # a library may raise anything
        raise UsageError(
            f"network '{network.name}' ({network.description}): its own library cannot compute it: "
            f"{first_line(error)}"
        ) from error
    with numerics(dtype):
        function = jax.jit(jax.vmap(network.function))
        values = np.asarray(function(np.asarray(points, dtype)), np.float64)
    values = values.reshape(wanted.shape)
    largest = np.nanmax(np.abs(wanted), axis=0, initial=np.finfo(np.float32).tiny)
    same = np.equal(values, wanted) | (np.isnan(values) & np.isnan(wanted))
    apart = np.nan_to_num(np.where(same, 0, np.abs(values - wanted)) / largest, nan=np.inf)
    difference = float(apart.max())
    if difference > _TOLERANCE[dtype]:
        worst = network.outputs[int(apart.max(axis=0).argmax())]
        raise UsageError(
            f"network '{network.name}' ({network.description}) computes other values than its own "
            f"library: output '{worst}' differs by {difference:.1e} of its largest value. Do its "
            "rows act on one another? Else report it, with the file"
        )
    return difference
