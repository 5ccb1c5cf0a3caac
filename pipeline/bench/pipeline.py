"""How many rows a worker reads, checks, lays out and writes beside a kernel that costs nothing.

That is what a GPU, however fast, can be drained at. Encoding alone, of the same tables by the same
writer, is timed in the same turns on as many cores: the share of it that the pipeline reaches is
what its other stages leave.
"""

import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import ClusterConfig, Config, load_config
from hyperdiag.data.shard import Shard
from hyperdiag.data.sink import ShardSink
from hyperdiag.messages.console import plain_console
from hyperdiag.process.limits import cores
from hyperdiag.process.proc import peak_bytes
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.receipt import STAGES
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.sample import Arrays
from hyperdiag.run.workers.worker import Worker

from .report_folder import report_folder
from .whole_job import reading_parquet

log = logging.getLogger("hyperdiag")


def bench_pipeline(composed: DictConfig, repeats: int) -> None:
    """Time the pipeline of one worker, and encoding alone, with 1, 2, 4, ... cores.

    Args:
        composed: the configuration of `derive`.
        repeats: times each is measured.
    """
    config = load_config(composed)
    folder = report_folder(config.output.path)
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        prepare_jax(config)
        output = config.output.model_copy(update={"path": f"{scratch}/job"})
        # What is remembered belongs to other rows, and would not pass as theirs.
        derivatives = config.derivatives.model_copy(update={"verify_rows": 0})
        summary = config.summary
        if summary.enabled is None:  # as beside the GPU that the kernel stands for
            summary = summary.model_copy(update={"enabled": False})
        config = config.model_copy(
            update={"output": output, "derivatives": derivatives, "summary": summary}
        )
        config = reading_parquet(config, Path(scratch, "rows"))
        report = measure(config, redacted_yaml(composed), repeats)
    path = folder / "pipeline.json"
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    console = plain_console()
    _print(report, console)
    console.print(f"written to {path}", soft_wrap=True)


def measure(config: Config, config_yaml: str, repeats: int) -> dict[str, Any]:
    """Return rows per second of both by the number of cores, and seconds by stage.

    Args:
        config: with a Parquet dataset, and no rows to be verified.
        config_yaml: the configuration as text.
        repeats: times each is measured.
    """
    with StopSignals("nothing was reported"):
        planned = make_plan(config)
        plan = planned.plan
        ledger = Ledger(config.output.path, plan)
        ledger.open("overwrite", config_yaml)
        try:
            worker = Worker(plan, ledger.work_path)
            shards = list(plan.shards())
            remembered = _computed(worker, shards[0])
            worker.kernel.function = lambda points: remembered
            tables = list(_tables(worker, shards[0]))
            usual = config.cluster.model_copy(update={"shards_in_flight": None})
            results = [
                _timed(worker, shards, tables, usual.on_cores(count), repeats)
                for count in powers(cores())
            ]
        finally:
            ledger.close()
    return {
        "network": plan.network.name,
        "dtype": plan.kernel.dtype,
        "rows": planned.rows,
        "shards": len(shards),
        "bytes_of_a_row": sum(table.nbytes for table in tables) / shards[0].rows,
        "results": results,
        "peak_bytes": peak_bytes(),
        "versions": dict(plan.versions),
    }


def powers(most: int) -> list[int]:
    """Return 1, 2, 4, ... and the most."""
    return sorted({*(2**power for power in range(most.bit_length())), most})


def _computed(worker: Worker, shard: Shard) -> Arrays:
    """Return what the kernel computes of the first batch of a shard, as many rows as it takes."""
    plan = worker.plan
    rows = next(plan.source.read(shard, plan.kernel.batch))
    points, _ = plan.points.read(rows.table, plan.kernel.dtype)
    whole = np.resize(points, (plan.kernel.batch, points.shape[1]))
    return tuple(np.array(array) for array in worker.kernel.function(whole))


def _tables(worker: Worker, shard: Shard) -> Iterator[pa.Table]:
    """Return the tables that are written of a shard."""
    plan = worker.plan
    for rows in plan.source.read(shard, plan.kernel.batch):
        points, faults = plan.points.read(rows.table, plan.kernel.dtype)
        columns = worker.deriver.read(rows.table, faults)
        computed = dict(zip(plan.kernel.quantities, worker.kernel(points), strict=True))
        derived = worker.deriver.compute(points, computed, columns)
        written = [computed[name] for name in plan.written]
        name = plan.source.file_name(shard)
        yield plan.layout.assemble(rows.table, name, rows.index, written, derived)


def _timed(
    worker: Worker,
    shards: Sequence[Shard],
    tables: Sequence[pa.Table],
    cluster: ClusterConfig,
    repeats: int,
) -> dict[str, Any]:
    """Time both in turn on as many cores, with as many shards under way, as that worker has."""
    plan = worker.plan

    def encode(shard: Shard) -> None:
        target = worker.output, shard.file_name, plan.layout.schema, plan.output.row_group_rows
        with ShardSink(*target) as sink:
            for table in tables:
                sink.write(table)
            sink.commit({})

    rows = sum(shard.rows for shard in shards)
    encoded = len(shards) * sum(table.num_rows for table in tables)
    rates: dict[str, list[float]] = {"pipeline": [], "encoding": []}
    seconds = Counter[str]()
    with _kept_to(cluster.cores), ThreadPoolExecutor(cluster.in_flight) as threads:
        for _ in range(repeats):
            began = time.perf_counter()
            receipts = list(threads.map(worker.derive, shards))
            rates["pipeline"].append(rows / (time.perf_counter() - began))
            for receipt in receipts:
                seconds.update(receipt.seconds)
            began = time.perf_counter()
            list(threads.map(encode, shards))
            rates["encoding"].append(encoded / (time.perf_counter() - began))
            latest = ", ".join(f"{name} {each[-1]:,.0f}" for name, each in rates.items())
            log.info("%d cores: %s rows/s", cluster.cores, latest)
    return {
        "cores": cluster.cores,
        "shards_in_flight": cluster.in_flight,
        "rows_per_s": rates,
        "seconds_per_million_rows": {
            stage: 1e6 * seconds[stage] / rows / repeats for stage in STAGES
        },
    }


@contextmanager
def _kept_to(count: int) -> Iterator[None]:
    """Keep the threads that are started in the block to so many cores."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(every)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def _print(report: dict[str, Any], console: Console) -> None:
    console.print(
        f"{report['network']}, {report['rows']:,} rows in {report['shards']:,} shards, "
        f"{report['bytes_of_a_row']:,.0f} bytes written of a row before compression, "
        f"{report['dtype']}; medians:",
        soft_wrap=True,
    )
    columns = ["cores", "pipeline, rows/s", "encoding alone, rows/s", "share", "of one core's"]
    table = Table(*columns, *(f"{stage}, s" for stage in STAGES), box=None, pad_edge=False)
    single = median(report["results"][0]["rows_per_s"]["encoding"])
    for result in report["results"]:
        rates = {name: median(each) for name, each in result["rows_per_s"].items()}
        seconds = (f"{value:.2f}" for value in result["seconds_per_million_rows"].values())
        table.add_row(
            str(result["cores"]),
            f"{rates['pipeline']:,.0f}",
            f"{rates['encoding']:,.0f}",
            f"{rates['pipeline'] / rates['encoding']:.2f}",
            f"{rates['pipeline'] / single / result['cores']:.2f}",
            *seconds,
        )
    console.print(table)
    console.print(
        "The share is of encoding alone on as many cores, and of what one core encodes times the "
        "cores. Seconds are of all shards at a time together, for a million rows, with waiting.",
        soft_wrap=True,
    )
    console.print(f"at most {report['peak_bytes'] / 1e9:.2f} GB of memory", soft_wrap=True)
