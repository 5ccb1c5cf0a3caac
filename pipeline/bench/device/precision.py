"""What cheaper matrix products give, and what they cost in accuracy.

Products of float32 are emulated by several of bfloat16 or TF32 (Henry, Tang & Heinecke 2019,
"Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations"), or
done in TF32 once. The network asks for it while it is traced, and the engine's products with its
weights follow; what the engine contracts by itself stays in full precision.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax

from hyperdiag.bench.benchmark_network import BenchmarkNetwork, Function
from hyperdiag.bench.contestants import OURS, Batched, Contestant
from hyperdiag.bench.timing import Result, time_network
from hyperdiag.hyperdual import derivatives

from .parts import Part

_ROUNDS = 3
# By the names of `jax.lax.DotAlgorithmPreset`.
PRECISIONS = {
    "highest": "highest",
    "bf16_x6": "BF16_BF16_F32_X6",
    "bf16_x3": "BF16_BF16_F32_X3",
    "tf32_x3": "TF32_TF32_F32_X3",
    "tf32": "TF32_TF32_F32",
}


def precision_table(
    networks: Sequence[BenchmarkNetwork], kernels: Sequence[Mapping[str, Any]], part: Part
) -> list[dict[str, Any]]:
    """Return rates and errors for each precision, with the method and tile that were chosen before.

    Args:
        networks: those that may be timed.
        kernels: what `rates` returned of them.
        part: its time.

    Returns:
        For each network `network`, `method`, `tile`, `rows` and `precisions`: by name, `cannot`
        (why the device refuses it, or None), `rows_per_s`, `errors` against float64, relative to
        each output's largest magnitude, and `same_as` (an earlier one with the same errors to the
        last bit, or None: the device may do one in place of another).
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
    return derivatives(in_precision(fn, precision), n, choice["method"], tile=choice["tile"])


def in_precision(fn: Function, precision: str) -> Callable[[jax.Array], jax.Array]:
    """Return a function that asks for products of a precision, where it does not say itself.

    Args:
        fn: of one point, (n,) to (m,).
        precision: a name from `PRECISIONS`.
    """

    def function(x: jax.Array) -> jax.Array:
        with jax.default_matmul_precision(PRECISIONS[precision]):
            return fn(x)

    return function


def _table(timed: Mapping[str, Result]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, result in timed.items():
        same = [other for other in table if table[other]["errors"] == dict(result.errors)]
        table[name] = {
            "cannot": result.cannot,
            "rows_per_s": result.rows_per_s,
            "errors": dict(result.errors),
            "same_as": same[0] if same and result.cannot is None else None,
        }
    return table
