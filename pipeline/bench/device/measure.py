"""All that is measured of a device, part after part, written down after each."""

import datetime
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from omegaconf import DictConfig

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.networks import choose_networks
from hyperdiag.bench.options import BenchConfig
from hyperdiag.bench.peak import matmul_peak, memory_peak
from hyperdiag.bench.report_folder import report_folder
from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import Config, load_config
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import RunIncomplete, UsageError, first_line, listed
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.plan.precision import planned_precision

from .about import about_device, memory
from .copies import copies
from .exactness import exactness, wrong_numbers
from .markdown import page
from .parts import Budget, Part
from .precision import precision_table
from .rates import rates
from .runs import inline, time_job, time_pipeline

log = logging.getLogger("hyperdiag")

# Of each kind one; what matters most comes first.
_EXACTNESS = ("chain-10-5-3", "qlknn", "residual", "convolution", "recurrent", "transformer")
_RATES = (
    *("qlknn", "mlp-32-256x4-1", "mlp-25-128x4-198", "mlp-50-768-768-512-512-1"),
    "transformer",
)
# Of the time, relative to each other. Copies take a second.
_SHARES = {
    "peaks": 5.0,
    "exactness": 20.0,
    "kernels": 35.0,
    "precision": 14.0,
    "copies": 2.0,
    "job": 14.0,
    "pipeline": 10.0,
}
_Step = Callable[[Part], Any]


def bench_device(composed: DictConfig, options: BenchConfig) -> None:
    """Measure the device that JAX takes in this process; write device.json and device.md.

    Args:
        composed: the configuration of `derive`, for the whole job.
        options: how much, and for how long.

    Raises:
        UsageError: if the folder is not local, a named network is not to be had, or JAX takes the
            CPU without being asked to.
        RunIncomplete: after all has been written, if a part failed or numbers were wrong.
    """
    config = inline(load_config(composed), options.rows_scale)
    if options.networks == "random":
        raise UsageError("bench.networks=random belongs to bench.subject=kernels; name some here")
    prepare_jax(config)
    _check_platform()
    networks, left_out = choose_networks(options.networks)
    planned_precision(config.derivatives, jax.default_backend())  # refuses what is not to be had
    folder = report_folder(config.output.path)
    report: dict[str, Any] = {
        "subject": "device",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "complete": False,
        "rows_scale": options.rows_scale,
        "device": about_device(),
        "notes": left_out,
        "wrong": [],
        "seconds": {},
    }
    _write(report, folder)  # so that nothing older stands for it
    with StopSignals(f"what was measured is in {folder}"):
        for _ in _measured(report, options, networks, config, redacted_yaml(composed), folder):
            _write(report, folder)
    report["complete"] = True
    _write(report, folder)
    console = plain_console()
    console.print(page(report), markup=False, soft_wrap=True)
    console.print(f"written to {folder}: device.json, device.md", soft_wrap=True)
    if report["wrong"]:
        raise RunIncomplete(f"on this device: {'; '.join(report['wrong'])}")


def _check_platform() -> None:
    asked_for = getattr(jax.config, "jax_platforms", None) or ""
    if jax.default_backend() == "cpu" and "cpu" not in asked_for.split(","):
        raise UsageError(
            "JAX has only a CPU here: install JAX with CUDA (pip install 'hyperdiag[cuda]'; "
            "nvidia-smi must show the GPU), or ask for the CPU with JAX_PLATFORMS=cpu"
        )


def _measured(
    report: dict[str, Any],
    options: BenchConfig,
    networks: list[BenchmarkNetwork],
    config: Config,
    config_yaml: str,
    folder: Path,
) -> Iterator[None]:
    """Fill in the report, part by part."""

    def some(usual: tuple[str, ...]) -> list[BenchmarkNetwork]:
        if options.networks is not None:
            return networks
        by_name = {network.name: network for network in networks}
        return [by_name[name] for name in usual if name in by_name]

    def kernels(part: Part) -> list[dict[str, Any]]:
        peaks = report["peaks"]
        limits = peaks["multiply_adds_per_s"], peaks["bytes_per_s"]
        return rates(some(_RATES), options.rows_scale, *limits, part)

    steps: dict[str, _Step] = {
        "peaks": lambda part: {
            "multiply_adds_per_s": matmul_peak(),
            "bytes_per_s": memory_peak(),
        },
        "exactness": lambda part: exactness(some(_EXACTNESS), part),
        "kernels": kernels,
        "precision": lambda part: precision_table(networks, report["kernels"], part),
        "copies": lambda part: copies(options.rows_scale),
        "job": lambda part: time_job(config, config_yaml, folder),
        "pipeline": lambda part: time_pipeline(config, config_yaml, folder),
    }
    budget = Budget(options.seconds, _SHARES)
    for name, step in steps.items():
        report[name] = None
        part = budget.part(name)
        if not part.left:
            report["notes"].append(f"{name}, all of it, for want of time")
            continue
        log.info("%s, for about %.0f s", name, part.left)
        began = time.monotonic()
        try:
            report[name] = step(part)
        except Exception as error:  # the other parts go on
            log.debug("%s failed", name, exc_info=True)
            report["wrong"].append(f"{name} failed: {type(error).__name__}: {first_line(error)}")
        if name == "exactness" and report[name]:
            report["wrong"] += wrong_numbers(report[name])
        if part.left_out:
            report["notes"].append(f"{name}, for want of time: {listed(part.left_out)}")
        report["seconds"][name] = time.monotonic() - began
        report["memory"] = memory()
        yield


def _write(report: dict[str, Any], folder: Path) -> None:
    text = json.dumps(_finite(report), indent=1, allow_nan=False)
    (folder / "device.json").write_text(text, encoding="utf-8")
    (folder / "device.md").write_text(page(report), encoding="utf-8")


def _finite(value: Any) -> Any:
    """Return plain values with null for numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
