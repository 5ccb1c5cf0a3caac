"""Kernels beside the field's methods, and as shares of what the device could do at most."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.contestants import CONTESTANTS, JACOBIAN_ALONE, JVP_OF_JVP, OURS, Contestant
from hyperdiag.bench.peak import least_bytes, unfused_bytes
from hyperdiag.bench.report import assemble
from hyperdiag.bench.timing import Result, time_network
from hyperdiag.hyperdual import (
    AUTO,
    DEFAULT_METHOD,
    Choice,
    choose,
    derivatives,
    numerics,
    widest,
)

from .about import memory
from .parts import Part

_ROUNDS = 3
# A network's own rows are what a core takes a quarter of a second for, at about this rate.
_CORE_MULTIPLY_ADDS_PER_S = 60e9
# Fewer rows would fill few tiles.
_LEAST_ROWS = 64
# Of the rows that all methods are timed on: what lies between layers, untiled, in this part of the
# device's memory; where the device has no account of it, in so many bytes.
_PART_OF_MEMORY, _BYTES = 16, 1 << 28
# Of a network's time, what the engine times its candidates for, at most so many seconds.
_TUNING_PART, _TUNING_SECONDS = 0.2, 9.0
_OTHERS = (JVP_OF_JVP, JACOBIAN_ALONE, "taylor", "reverse_over_forward", "dense_hessian")


def rates(
    networks: Sequence[BenchmarkNetwork],
    rows_scale: float,
    multiply_adds_per_s: float,
    bytes_per_s: float,
    part: Part,
) -> list[dict[str, Any]]:
    """Return the rates of ours and of the other methods on each network.

    Args:
        networks: the networks.
        rows_scale: times the rows that suit the device.
        multiply_adds_per_s: the device's peak.
        bytes_per_s: likewise, of memory.
        part: its time, which the networks share.

    Returns:
        For each network what `report.assemble` says of it, and `share_of_memory` (bytes that a row
        cannot do without, at our rate, over the peak), `unfused_over_memory` (likewise, with every
        step a pass over memory; None for what is no chain of dense layers), `memory` (after it) and
        `tuning_seconds` (until method and tile were chosen; little if they are remembered).
    """
    results = []
    for number, network in enumerate(networks):
        if not part.begins(f"kernels on {network.name}"):
            continue
        seconds = part.left / (len(networks) - number)
        deadline = time.monotonic() + seconds
        began = time.perf_counter()
        choice = _choice(network, min(_TUNING_SECONDS, _TUNING_PART * seconds))
        tuning_seconds = time.perf_counter() - began
        tile = choice.tile or 1
        rows = max(_LEAST_ROWS, suitable_rows(network, multiply_adds_per_s) * rows_scale)
        rows = math.ceil(rows / tile) * tile  # as in a run, whose batches are whole tiles
        contestants = [_ours(choice), *(CONTESTANTS[name] for name in _OTHERS)]
        timed = time_network(network, contestants, _ROUNDS, rows / network.rows, deadline=deadline)
        part.left_out += [
            f"{name} on {network.name}" for name in (OURS, *_OTHERS) if name not in timed
        ]
        report = _report(network, timed, multiply_adds_per_s, bytes_per_s)
        results.append({**report, "tuning_seconds": tuning_seconds})
    return results


def suitable_rows(network: BenchmarkNetwork, multiply_adds_per_s: float) -> int:
    """Return the rows that keep a device busy for a while, within its memory.

    Args:
        network: the network.
        multiply_adds_per_s: the device's peak.
    """
    faster = max(1.0, multiply_adds_per_s / _CORE_MULTIPLY_ADDS_PER_S)
    limit = memory()["bytes_limit"]
    most_bytes = _BYTES if limit is None else limit // _PART_OF_MEMORY
    with numerics("float32"):
        point = jax.ShapeDtypeStruct((network.n,), "float32")
        width = max(widest(jax.make_jaxpr(network.build("float32"))(point)), network.m)
    return max(
        1, min(round(network.rows * faster), most_bytes // (4 * (1 + 2 * network.n) * width))
    )


def _choice(network: BenchmarkNetwork, seconds: float) -> Choice:
    """Return the tuner's choice; where it fails, any: why it does is the contestant's result."""
    try:
        choice = choose(network.build("float32"), network.n, AUTO, tuning_seconds=seconds)
    except Exception:
        choice = None
    return choice or Choice(DEFAULT_METHOD, _LEAST_ROWS)


def _ours(choice: Choice) -> Contestant:
    build = partial(derivatives, method=choice.method, tile=choice.tile)
    return replace(CONTESTANTS[OURS], build=build)


def _report(
    network: BenchmarkNetwork,
    timed: dict[str, Result],
    multiply_adds_per_s: float,
    bytes_per_s: float,
) -> dict[str, Any]:
    (compared,) = assemble([(network, timed)], multiply_adds_per_s, {})["networks"]
    rate = timed[OURS].rows_per_s
    at_rate = math.nan if rate is None else rate / bytes_per_s
    shares = {
        "share_of_memory": at_rate * least_bytes(network.n, network.m),
        "unfused_over_memory": at_rate * unfused_bytes(network.widths) if network.widths else None,
    }
    if rate is None:
        shares = dict.fromkeys(shares)
    return {**compared, **shares, "memory": memory()}
