"""Every method of the engine, compiled for the device, against a jvp of a jvp in float64.

The reference is computed on the CPU, where JAX has it beside the device: no step is shared.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.timing import CHECK_ROWS, WRONG, reference_arrays, relative_error
from hyperdiag.hyperdual import OWN_METHODS, Derivatives, derivatives
from hyperdiag.messages.errors import first_line

from .parts import Part

# An error above this part of an output's largest derivative is no rounding.
TOLERANCE = {"float32": WRONG, "float64": 1e-6}
# Two tiles in a loop, as in a run.
_TILE = CHECK_ROWS // 2
# What matters most comes first, should time not suffice.
_CASES = (
    *((method, "float32") for method in OWN_METHODS),
    *((method, "float64") for method in OWN_METHODS),
)


def exactness(networks: Sequence[BenchmarkNetwork], part: Part) -> list[dict[str, Any]]:
    """Return the errors of each method on each network, in float32 and float64.

    Args:
        networks: the networks.
        part: its time.

    Returns:
        For each case that was tried, `network`, `method`, `dtype`, `cannot` (why it failed, or
        None) and `errors`: of value, jacobian and hessian_diag the largest over 64 points, each
        relative to its output's largest magnitude.
    """
    expected: dict[str, dict[str, np.ndarray]] = {}
    results = []
    for method, dtype in _CASES:
        for network in networks:
            if not part.begins(f"{method} in {dtype} on {network.name}"):
                continue
            result = {"network": network.name, "method": method, "dtype": dtype}
            points = network.points(CHECK_ROWS)
            try:
                if network.name not in expected:
                    expected[network.name] = reference_arrays(network, points)
                errors = _errors(network, points, method, dtype, expected[network.name])
                results.append({**result, "cannot": None, "errors": errors})
            except Exception as error:  # whatever stops a case is its result
                reason = f"{type(error).__name__}: {first_line(error)}"
                results.append({**result, "cannot": reason, "errors": {}})
    return results


def wrong_numbers(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence for each case that failed, or whose error is no rounding."""
    sentences = []
    for result in results:
        case = f"{result['method']} in {result['dtype']} on {result['network']}"
        if result["cannot"] is not None:
            sentences.append(f"{case} failed: {result['cannot']}")
        for name, error in result["errors"].items():
            if not error <= TOLERANCE[result["dtype"]]:
                sentences.append(f"{case}: {name} is off by {error:.1g} of its largest")
    return sentences


def _errors(
    network: BenchmarkNetwork,
    points: np.ndarray,
    method: str,
    dtype: str,
    expected: dict[str, np.ndarray],
) -> dict[str, float]:
    bundle = derivatives(network.build(dtype), network.n, method, dtype=dtype, tile=_TILE)
    arrays = bundle(points)
    return {
        name: relative_error(np.asarray(array, np.float64), expected[name])
        for name, array in zip(Derivatives._fields, arrays, strict=True)
    }
