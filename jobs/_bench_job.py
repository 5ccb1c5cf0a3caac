"""How much of its kernel's rate the main job keeps, reading and writing included."""

import json
import logging
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import DictConfig

from pipeline.config import Config, load_config
from pipeline.console import plain_console
from pipeline.data.filesystem import resolve
from pipeline.errors import RunIncomplete, UsageError
from pipeline.run.job import open_pool, prepare_jax
from pipeline.run.ledger import Ledger
from pipeline.run.planner import make_plan
from pipeline.run.receipt import Receipt

from ._command import as_yaml

log = logging.getLogger("hyperdiag")


def bench_job(composed: DictConfig, repeats: int) -> None:
    """Time the kernel alone and the whole job in turn, on the same points and workers.

    Args:
        composed: the configuration of `derive`.
        repeats: times each is measured.
    """
    config = load_config(composed)
    if not resolve(config.output.path).is_local:
        raise UsageError("output.path: the benchmark writes to a local folder")
    folder = Path(config.output.path)
    folder.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: whatever else is there stays.
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        output = config.output.model_copy(update={"path": scratch})
        report = measure(config.model_copy(update={"output": output}), as_yaml(composed), repeats)
    path = folder / "bench.json"
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    console = plain_console()
    console.print(
        f"{report['network']}, {report['rows']:,} rows, {report['workers']} workers, "
        f"{report['method']} in {report['dtype']}; medians of {repeats}:"
    )
    console.print(f"  kernel alone {report['kernel_rows_per_s']:>12,.0f} rows/s")
    console.print(f"  whole job    {report['job_rows_per_s']:>12,.0f} rows/s")
    console.print(f"  ratio        {report['ratio']:>12.2f}   (each: {report['ratios']})")
    console.print(f"  start-up     {report['start_seconds']:>12.1f} s, once, not in these rates")
    console.print(f"written to {path}", soft_wrap=True)


def measure(config: Config, config_yaml: str, repeats: int) -> dict[str, Any]:
    """Return rates of the kernel alone and of the job: from planned shards to published output."""
    prepare_jax(config)
    started = time.monotonic()
    planned = make_plan(config)
    ledger = Ledger(config.output.path, planned.plan)
    shards = list(planned.plan.shards())
    pool = open_pool(config, ledger)
    kernel, job = [], []
    try:
        pool.start()
        start_seconds = time.monotonic() - started
        for turn in range(repeats):
            kernel.append(planned.rows / pool.measure(shards))
            began = time.monotonic()
            ledger.open("overwrite", config_yaml)
            for outcome in pool.outcomes(shards):
                if isinstance(outcome, Receipt):
                    ledger.record(outcome)
                elif outcome is not None:
                    raise RunIncomplete("a shard failed; a rate without it would mean nothing")
            ledger.publish({"benchmark": True})
            job.append(planned.rows / (time.monotonic() - began))
            ledger.close()
            log.info("turn %d: kernel %.0f, job %.0f rows/s", turn + 1, kernel[-1], job[-1])
    finally:
        ledger.close()
        pool.close()
    settings = planned.plan.settings
    ratios = [whole / alone for whole, alone in zip(job, kernel, strict=True)]
    return {
        "network": settings["network"]["name"],
        "method": settings["derivatives"]["method"],
        "dtype": settings["derivatives"]["dtype"],
        "rows": planned.rows,
        "workers": pool.workers,
        "kernel_rows_per_s": median(kernel),
        "job_rows_per_s": median(job),
        "ratio": median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "start_seconds": start_seconds,
        "versions": settings["versions"],
    }
