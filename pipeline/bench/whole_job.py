"""What share of its kernel's rate the main job keeps, and how it compares with plain Ray Data."""

import json
import logging
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig
from rich.console import Console

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import Config, ParquetConfig, load_config
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.manifest import Work, make_manifest
from hyperdiag.run.output.receipt import STAGES, Receipt
from hyperdiag.run.plan.planner import Planned, make_plan
from hyperdiag.run.workers.open_pool import open_pool
from hyperdiag.run.workers.pool import Pool

from .report_folder import report_folder
from .whole_job_plain import time_plain, why_no_plain

log = logging.getLogger("hyperdiag")

_KERNEL, _JOB, _PLAIN = "kernel alone", "whole job", "plain Ray Data"


def bench_job(composed: DictConfig, repeats: int, with_plain: bool) -> None:
    """Time the kernel alone, the whole job and plain Ray Data in turn, on the same rows and cores.

    Args:
        composed: the configuration of `derive`.
        repeats: times each is measured.
        with_plain: whether plain Ray Data is.
    """
    config = load_config(composed)
    folder = report_folder(config.output.path)
    why_not = why_no_plain(config) if with_plain else None
    # In a folder of its own: whatever else is there stays.
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        prepare_jax(config)
        output = config.output.model_copy(update={"path": f"{scratch}/job"})
        config = config.model_copy(update={"output": output})
        config = reading_parquet(config, Path(scratch, "rows"))
        plain = Path(scratch, "plain") if with_plain and not why_not else None
        report = measure(config, redacted_yaml(composed), repeats, plain)
    path = folder / "bench.json"
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    console = plain_console()
    _print(report, console)
    if why_not:
        console.print(f"{_PLAIN} is left out: {why_not}", soft_wrap=True)
    console.print(f"written to {path}", soft_wrap=True)


def reading_parquet(config: Config, folder: Path) -> Config:
    """Return the same run with its rows read from Parquet files; those of a design are written."""
    if isinstance(config.dataset, ParquetConfig):
        return config
    source = make_plan(config).plan.source
    folder.mkdir()
    for shard in source.shards():
        tables = [rows.table for rows in source.read(shard, shard.rows)]
        pq.write_table(pa.concat_tables(tables), folder / shard.file_name)
    dataset = ParquetConfig(name="parquet", path=str(folder), shard_rows=config.dataset.shard_rows)
    return config.model_copy(update={"dataset": dataset})


def measure(config: Config, config_yaml: str, repeats: int, plain: Path | None) -> dict[str, Any]:
    """Return the rates of each, from workers that are ready to published output.

    Args:
        config: with a Parquet dataset, for plain Ray Data.
        config_yaml: the same as text.
        repeats: times each is measured.
        plain: a folder for what plain Ray Data writes; None leaves it out.
    """
    with StopSignals("nothing was reported"):
        started = time.monotonic()
        planned = make_plan(config)
        ledger = Ledger(config.output.path, planned.plan)
        pool = open_pool(config, ledger.plan, ledger.work_path)
        rates: dict[str, list[float]] = defaultdict(list)
        stages = Counter[str]()
        try:
            pool.start()
            start_seconds = time.monotonic() - started
            for turn in range(1, repeats + 1):
                rates[_KERNEL].append(planned.rows / pool.measure(list(planned.plan.shards())))
                seconds = _time_job(planned, ledger, pool, config_yaml, stages)
                rates[_JOB].append(planned.rows / seconds)
                if plain:
                    rates[_PLAIN].append(planned.rows / time_plain(config, pool.workers, plain))
                latest = ", ".join(f"{name} {each[-1]:,.0f}" for name, each in rates.items())
                log.info("turn %d: %s rows/s", turn, latest)
        finally:
            ledger.close()
            pool.close()
    plan = planned.plan
    job = rates[_JOB]
    return {
        "network": plan.network.name,
        "method": plan.kernel.method,
        "dtype": plan.kernel.dtype,
        "rows": planned.rows,
        "workers": pool.workers,
        "rows_per_s": dict(rates),
        "ratios": {
            f"{_JOB} / {name}": [mine / other for mine, other in zip(job, each, strict=True)]
            for name, each in rates.items()
            if name != _JOB
        },
        "seconds_per_million_rows": {
            stage: 1e6 * stages[stage] / planned.rows / repeats for stage in STAGES
        },
        "start_seconds": start_seconds,
        "versions": dict(plan.versions),
    }


def _time_job(
    planned: Planned, ledger: Ledger, pool: Pool, config_yaml: str, stages: Counter[str]
) -> float:
    """Return the seconds of a whole job; those of its stages, over all workers, are added up."""
    began = time.monotonic()
    ledger.open("overwrite", config_yaml)
    for outcome in pool.outcomes(planned.plan.shards()):
        if isinstance(outcome, Receipt):
            ledger.record(outcome)
            stages.update(outcome.seconds)
        elif outcome is not None:
            raise RunIncomplete("a shard failed; a rate without it would mean nothing")
    ledger.publish(make_manifest(planned, ledger.inventory, Work(), ledger.path))
    seconds = time.monotonic() - began
    ledger.close()
    return seconds


def _print(report: dict[str, Any], console: Console) -> None:
    console.print(
        f"{report['network']}, {report['rows']:,} rows, {report['workers']} workers, "
        f"{report['method']} in {report['dtype']}; medians, and (least .. most) of all turns:"
    )
    for name, rates in report["rows_per_s"].items():
        console.print(
            f"  {name:<27}{median(rates):>9,.0f} rows/s   ({min(rates):,.0f} .. {max(rates):,.0f})"
        )
    for name, ratios in report["ratios"].items():
        console.print(
            f"  {name:<27}{median(ratios):>9.2f}          ({min(ratios):.2f} .. {max(ratios):.2f})"
        )
    console.print(f"  start-up of the job {report['start_seconds']:>16.1f} s, once, not in these")
