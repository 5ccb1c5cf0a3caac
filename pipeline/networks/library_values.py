"""Whether a network computes what the library computes from which it came."""

import logging

import jax
import numpy as np

from hyperdiag.hyperdual import DEFAULT_METHOD, derivatives, numerics
from hyperdiag.messages.errors import UsageError, first_line

from .network import Network

log = logging.getLogger("hyperdiag")

_SAMPLE = 8  # points
# Of the largest value of an output: rounding stays below, another network does not. A library may
# compute in float32 whatever is asked.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-4}
_ROUNDINGS = 40  # of half precision, which a library may compute in


def library_difference(network: Network, dtype: str) -> float | None:
    """Return how far a network's values are from those of its library, at points drawn.

    Args:
        network: which.
        dtype: in which the network is computed.

    Returns:
        The largest difference, over the largest value of the same output; None where there is no
        library to ask, or it cannot tell.

    Raises:
        UsageError: if its values are others than the network's, or a package is missing.
    """
    if network.library_values is None:
        return None
    points = network.typical_points(_SAMPLE).astype(np.float32).astype(np.float64)
    try:
        wanted = network.library_values(points)
    except UsageError:
        raise
    except Exception as error:  # a library may raise anything
        log.warning(
            "network '%s' (%s): its own library cannot compute it, so that its values are not "
            "compared: %s",
            network.name,
            network.description,
            first_line(error),
        )
        return None
    with numerics(dtype):
        function = jax.jit(jax.vmap(network.function))
        values = np.asarray(function(np.asarray(points, dtype)), np.float64)
    values = values.reshape(len(points), -1)
    if wanted.shape != values.shape:
        raise UsageError(
            f"network '{network.name}' ({network.description}) gives {values.shape[1]} numbers for "
            f"a point, and an array of shape {wanted.shape} for {len(points)} points at once: its "
            "first axis must be that of the rows"
        )
    if not np.isfinite(wanted).any():
        log.warning(
            "network '%s' (%s): no value at the points that were drawn is finite, so that nothing "
            "is compared with its own library; network.ranges says where its inputs lie",
            network.name,
            network.description,
        )
        return None
    largest = np.nanmax(np.abs(wanted), axis=0, initial=np.finfo(np.float32).tiny)
    same = np.equal(values, wanted) | (np.isnan(values) & np.isnan(wanted))
    apart = np.nan_to_num(np.where(same, 0, np.abs(values - wanted)) / largest, nan=np.inf)
    difference = float(apart.max())
    tolerance = max(_TOLERANCE[dtype], _ROUNDINGS * network.library_epsilon)
    if difference > tolerance and dtype == "float32":
        rounding = _rounding_of_inputs(network, points) / largest
        if (apart <= tolerance + rounding).all():
            log.warning(
                "network '%s' (%s): values differ from its own library's by up to %.1e of the "
                "largest, which rounding its inputs to float32 explains; derivatives.dtype=float64 "
                "has no such error",
                network.name,
                network.description,
                difference,
            )
            return difference
    if difference > tolerance:
        worst = network.outputs[int(apart.max(axis=0).argmax())]
        raise UsageError(
            f"network '{network.name}' ({network.description}) computes other values than its own "
            f"library: output '{worst}' differs by {difference:.1e} of its largest value. Do its "
            "rows act on one another? Is float32 too coarse (derivatives.dtype=float64)? Else "
            "report it, with the file; network.compare=false does without, where a network has that"
        )
    return difference


def _rounding_of_inputs(network: Network, points: np.ndarray) -> np.ndarray:
    """Return by how much the values, (rows, m), may change as float32 rounds what meets an input.

    That is a number of the size of the input, such as the mean that is subtracted from it; to first
    order.
    """
    bundle = derivatives(
        network.function, network.n_inputs, DEFAULT_METHOD, tile=len(points), outputs=["jacobian"]
    )
    slopes = np.abs(np.nan_to_num(np.asarray(bundle(points).jacobian, np.float64)))
    return np.einsum("rmn,rn->rm", slopes, np.finfo(np.float32).eps / 2 * np.abs(points))
