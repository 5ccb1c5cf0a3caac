"""What matrix products of each precision give, and what they cost in accuracy."""

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hyperdiag.bench.benchmark_network import BenchmarkNetwork, Function
from hyperdiag.bench.contestants import OURS, Batched, Contestant
from hyperdiag.bench.timing import Result, time_network
from hyperdiag.hyperdual import PRECISIONS, derivatives, device_precisions

from .parts import Part

_ROUNDS = 3


def precision_table(
    networks: Sequence[BenchmarkNetwork], kernels: Sequence[Mapping[str, Any]], part: Part
) -> list[dict[str, Any]]:
    """Return rates and errors for each precision, with the method and tile that were chosen before.

    Args:
        networks: those that may be timed.
        kernels: what `rates` returned of them.
        part: its time.

    Returns:
        For each network `network`, `method`, `tile`, `rows` and `precisions`: by name, `own`
        (whether the device has such products, or they are made of products of float32 parts),
        `cannot` (why it fails, or None), `rows_per_s`, and `errors` against float64, relative to
        each output's largest magnitude.
    """
    by_name = {network.name: network for network in networks}
    results = []
    for kernel in kernels:
        ours = kernel["contestants"][OURS]
        if ours["cannot"] is not None or not part.begins(f"precisions on {kernel['name']}"):
            continue
        network, choice = by_name[kernel["name"]], ours["choice"]
        contestants = [
            Contestant(name, f"products in {name}", partial(_build, name, choice))
            for name in PRECISIONS
        ]
        deadline = time.monotonic() + part.left
        scale = ours["rows"] / network.rows
        timed = time_network(network, contestants, _ROUNDS, scale, math.inf, deadline)
        part.left_out += [f"{name} on {network.name}" for name in PRECISIONS if name not in timed]
        results.append(
            {"network": network.name, **choice, "rows": ours["rows"], "precisions": _table(timed)}
        )
    return results


def _build(precision: str, choice: Mapping[str, Any], fn: Function, n: int) -> Batched:
    return derivatives(fn, n, choice["method"], tile=choice["tile"], precision=precision)


def _table(timed: Mapping[str, Result]) -> dict[str, Any]:
    own = device_precisions()
    return {
        name: {
            "own": name in own,
            "cannot": result.cannot,
            "rows_per_s": result.rows_per_s,
            "errors": dict(result.errors),
        }
        for name, result in timed.items()
    }
