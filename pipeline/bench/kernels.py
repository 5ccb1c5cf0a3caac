"""Kernels against what others would write: all contestants on all benchmark networks."""

import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from hyperdiag.messages.console import plain_console
from hyperdiag.run.cluster.device import SINGLE_THREADED

from .contestants import choose_contestants
from .networks import choose_networks
from .options import BenchConfig
from .peak import matmul_peak
from .plot import draw_plot
from .random_networks import draw_networks
from .report import assemble, print_report
from .report_folder import report_folder
from .timing import time_network

log = logging.getLogger("hyperdiag")

# The widest table: seven contestants' rates.
_TABLE_WIDTH = 132


def bench_kernels(options: BenchConfig, output_path: str) -> None:
    """Time the contestants on each network; print tables, write kernels.json and kernels.png.

    Args:
        options: what to time.
        output_path: a local folder; what else is in there stays.

    Raises:
        UsageError: if the folder is not local, or a named network or contestant is not to be had.
    """
    folder = report_folder(output_path)
    contestants, absent = choose_contestants(options.contestants)
    notes = [*absent, *_take_cores(options.threads)]
    if options.networks == "random":
        networks = draw_networks(options.seed, options.count)
    else:
        networks, left_out = choose_networks(options.networks)
        notes += left_out
    peak = matmul_peak()
    timed = []
    for number, network in enumerate(networks, start=1):
        log.info(
            "network %d of %d: %s, %s", number, len(networks), network.name, network.description
        )
        results = time_network(network, contestants, options.rounds, options.rows_scale)
        timed.append((network, results))
    report = assemble(timed, peak, _machine(options), notes)
    path = folder / "kernels.json"
    path.write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    console = plain_console(least_width=_TABLE_WIDTH)
    machine = report["machine"]
    console.print(
        f"\n{machine['processor']}, {machine['threads']}; jax {machine['versions']['jax']}, "
        f"float32; medians of {options.rounds} rounds; peak of matrix products "
        f"{2e-9 * peak:,.0f} GFLOP/s\n",
        soft_wrap=True,
    )
    print_report(report, console)
    no_plot = draw_plot(report, folder / "kernels.png")
    console.print(f"\nwritten to {path}" + ("" if no_plot else " and kernels.png"), soft_wrap=True)
    if no_plot:
        console.print(no_plot, soft_wrap=True)


def _take_cores(threads: int | str) -> list[str]:
    """Keep this process to one core and JAX to one thread, as a worker; or let both have all.

    To be called before JAX starts. Returns a sentence where the system cannot pin.
    """
    if threads == "all":
        for variable in SINGLE_THREADED:
            os.environ.pop(variable, None)
        return []
    os.environ.update(SINGLE_THREADED)
    if not hasattr(os, "sched_setaffinity"):
        return ["this system does not pin processes: the core may change while kernels are timed"]
    core = max(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():  # later threads inherit it
        os.sched_setaffinity(int(thread.name), {core})
    return []


def _machine(options: BenchConfig) -> dict[str, Any]:
    return {
        "processor": _processor(),
        "device": jax.devices()[0].device_kind,
        "threads": "one core, one thread" if options.threads == 1 else "all cores",
        "rounds": options.rounds,
        "seed": options.seed if options.networks == "random" else None,
        "rows_scale": options.rows_scale,
        "dtype": "float32",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "jaxlib", "numpy")},
        },
    }


def _processor() -> str:
    """Return the processor's name where Linux tells it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
