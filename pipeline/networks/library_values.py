"""Whether a network computes what the library computes from which it came."""

import jax
import numpy as np

from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError, first_line

from .network import Network

_SAMPLE = 8  # points
# Of the largest value of an output: rounding stays below, another network does not. A library may
# compute in float32 whatever is asked.
_TOLERANCE = {
    "float32": 1e-3,
    "float64": 1e-4,
}


def library_error(network: Network, dtype: str) -> float | None:
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
        found = np.asarray(function(np.asarray(points, dtype)), np.float64)
    found = found.reshape(wanted.shape)
    same = np.isclose(found, wanted, rtol=0, atol=0, equal_nan=True)
    apart = np.where(same, 0, np.abs(found - wanted)) / np.maximum(
        np.nanmax(np.abs(wanted), axis=0, initial=0.0), 1e-30
    )
    error = float(np.max(np.nan_to_num(apart, nan=np.inf)))
    if error > _TOLERANCE[dtype]:
        worst = network.outputs[int(np.argmax(np.nan_to_num(apart, nan=np.inf).max(axis=0)))]
        raise UsageError(
            f"network '{network.name}' ({network.description}) computes other values than its own "
            f"library: output '{worst}' differs by {error:.1e} of its largest value. Do its rows "
            "act on one another? Else report it, with the file"
        )
    return error
