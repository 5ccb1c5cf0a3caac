"""Our kernels against what others would write; or the whole job against its kernel and Ray Data."""

import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from hyperdiag.bench import (
    assemble,
    choose_rivals,
    choose_subjects,
    draw,
    matmul_peak,
    print_report,
    run_race,
)
from hyperdiag.config.schema import load_section
from hyperdiag.data.filesystem import absolute, is_uri
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster.device import SINGLE_THREADED

from ._command import run

log = logging.getLogger("hyperdiag")

# The keys that each subject heeds; any other would be given in vain.
_KERNELS = ("networks", "contestants", "rounds", "rows_scale", "threads")
_JOB = ("repeats", "plain_ray_data")

# The widest table: seven contestants' rates.
_TABLE_WIDTH = 132


class BenchConfig(BaseModel):
    """The section `bench` of the configuration."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject: Literal["kernels", "job"] = "kernels"
    networks: list[str] | None = None
    contestants: list[str] | None = None
    rounds: PositiveInt = 5
    rows_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    threads: Literal[1, "all"] = 1
    repeats: PositiveInt = 3
    plain_ray_data: bool = True


def task(composed: DictConfig) -> None:
    """Time what `bench.subject` says."""
    with open_dict(composed):
        options = load_section(BenchConfig, composed.pop("bench"), "bench.")
    _refuse_unheeded(options.subject)
    if options.subject == "job":
        from hyperdiag.bench.whole_job import bench_job  # late: the kernels need no workers

        bench_job(composed, options.repeats, options.plain_ray_data)
    else:
        bench_kernels(options, composed.output.path)


def bench_kernels(options: BenchConfig, output_path: str) -> None:
    """Race the contestants on each network; print tables, write kernels.json and kernels.png.

    Args:
        options: what to race.
        output_path: a local folder; what else is in there stays.

    Raises:
        UsageError: if the folder is not local, or a named network or contestant is not to be had.
    """
    if is_uri(output_path):
        raise UsageError("output.path: the benchmark writes to a local folder")
    rivals, absent = choose_rivals(options.contestants)
    notes = [*absent, *_take_cores(options.threads)]
    subjects, left_out = choose_subjects(options.networks)
    folder = Path(absolute(output_path))
    folder.mkdir(parents=True, exist_ok=True)
    peak = matmul_peak()
    raced = []
    for number, subject in enumerate(subjects, start=1):
        log.info("network %d of %d: %s", number, len(subjects), subject.name)
        raced.append((subject, run_race(subject, rivals, options.rounds, options.rows_scale)))
    report = assemble(raced, peak, _machine(options), notes + left_out)
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
    why_not = draw(report, folder / "kernels.png")
    console.print(f"\nwritten to {path}" + ("" if why_not else " and kernels.png"), soft_wrap=True)
    if why_not:
        console.print(why_not, soft_wrap=True)


def _refuse_unheeded(subject: str) -> None:
    """Refuse overrides that the other subject would heed, and sweeps of kernels.

    Raises:
        UsageError: naming each.
    """
    hydra = HydraConfig.get()
    if subject == "kernels" and hydra.mode == RunMode.MULTIRUN:
        raise UsageError(
            "a race of kernels is one process with one setting of threads: give bench.networks a "
            "list instead of --multirun"
        )
    keys = [override.lstrip("+~").partition("=")[0] for override in hydra.overrides.task]
    if subject == "kernels":
        heeded = {"output.path", "bench.subject", *(f"bench.{key}" for key in _KERNELS)}
        vain = [key for key in keys if key not in heeded]
        mend = "bench.subject=kernels has networks of its own, and bench.subject=job heeds it"
    else:
        vain = [key for key in keys if key in {f"bench.{key}" for key in _KERNELS}]
        mend = "it belongs to bench.subject=kernels"
    if vain:
        raise UsageError([f"{key} would be ignored: {mend}" for key in vain])


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
        return ["this system does not pin processes: the core may change while the race is on"]
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


def main() -> None:
    """Run from the command line."""
    run("bench", task)


if __name__ == "__main__":
    main()
