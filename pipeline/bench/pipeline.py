"""How many rows a worker reads, checks, lays out and writes beside a kernel that costs nothing.

That is what a GPU, however fast, can be drained at. Encoding alone, of the same tables by the same
writer, is timed in the same turns: the share of it that the pipeline reaches is what its other
stages leave.
"""

import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import Config, load_config
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.shard import Shard
from hyperdiag.data.sink import ShardSink
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import UsageError
from hyperdiag.process.limits import cores
from hyperdiag.process.proc import peak_bytes
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.receipt import STAGES
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.worker import Arrays, Worker

from .whole_job import reading_parquet

log = logging.getLogger("hyperdiag")


def bench_pipeline(composed: DictConfig, repeats: int) -> None:
    """Time the pipeline of one worker, and encoding alone, with 1, 2, 4, ... shards at a time.

    Args:
        composed: the configuration of `derive`.
        repeats: times each is measured.
    """
    config = load_config(composed)
    if not resolve(config.output.path).is_local:
        raise UsageError("output.path: the benchmark writes to a local folder")
    folder = Path(config.output.path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        prepare_jax(config)
        output = config.output.model_copy(update={"path": f"{scratch}/job"})
        # What is remembered belongs to other rows, and would not pass as theirs.
        derivatives = config.derivatives.model_copy(update={"verify_rows": 0})
        config = config.model_copy(update={"output": output, "derivatives": derivatives})
        config = reading_parquet(config, Path(scratch, "rows"))
        report = measure(config, redacted_yaml(composed), repeats)
    path = folder / "pipeline.json"
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    console = plain_console()
    _print(report, console)
    console.print(f"written to {path}", soft_wrap=True)


def measure(config: Config, config_yaml: str, repeats: int) -> dict[str, Any]:
    """Return rows per second of both by the number of shards at a time, and seconds by stage.

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
            worker.kernel = lambda points: remembered
            tables = list(_tables(plan, shards[0], remembered))
            results = [
                _timed(worker, shards, tables, at_once, repeats) for at_once in at_a_time(cores())
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


def at_a_time(most: int) -> list[int]:
    """Return 1, 2, 4, ... and the most."""
    return sorted({*(2**power for power in range(most.bit_length())), most})


def _computed(worker: Worker, shard: Shard) -> Arrays:
    """Return what the kernel computes of the first batch of a shard, as many rows as it takes."""
    plan = worker.plan
    rows = next(plan.source.read(shard, plan.kernel.batch))
    points, _ = plan.points.read(rows.table, plan.kernel.dtype)
    whole = np.resize(points, (plan.kernel.batch, points.shape[1]))
    return tuple(np.array(array) for array in worker.kernel(whole))


def _tables(plan: Plan, shard: Shard, remembered: Arrays) -> Iterator[pa.Table]:
    """Return the tables that are written of a shard."""
    for rows in plan.source.read(shard, plan.kernel.batch):
        arrays = [array[: rows.table.num_rows] for array in remembered]
        name = plan.source.file_name(shard)
        yield plan.layout.assemble(rows.table, name, rows.index, arrays)


def _timed(
    worker: Worker, shards: Sequence[Shard], tables: Sequence[pa.Table], at_once: int, repeats: int
) -> dict[str, Any]:
    """Time both in turn, with so many shards at a time."""
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
    for _ in range(repeats):
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as threads:
            receipts = list(threads.map(worker.derive, shards))
        rates["pipeline"].append(rows / (time.perf_counter() - began))
        for receipt in receipts:
            seconds.update(receipt.seconds)
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(encode, shards))
        rates["encoding"].append(encoded / (time.perf_counter() - began))
        latest = ", ".join(f"{name} {each[-1]:,.0f}" for name, each in rates.items())
        log.info("%d at a time: %s rows/s", at_once, latest)
    return {
        "at_once": at_once,
        "rows_per_s": rates,
        "seconds_per_million_rows": {
            stage: 1e6 * seconds[stage] / rows / repeats for stage in STAGES
        },
    }


def _print(report: dict[str, Any], console: Console) -> None:
    console.print(
        f"{report['network']}, {report['rows']:,} rows in {report['shards']:,} shards, "
        f"{report['bytes_of_a_row']:,.0f} bytes written of a row before compression, "
        f"{report['dtype']}; medians:",
        soft_wrap=True,
    )
    columns = ["shards at a time", "pipeline, rows/s", "encoding alone, rows/s", "share"]
    table = Table(*columns, *(f"{stage}, s" for stage in STAGES), box=None, pad_edge=False)
    for result in report["results"]:
        rates = {name: median(each) for name, each in result["rows_per_s"].items()}
        share = rates["pipeline"] / rates["encoding"]
        seconds = (f"{value:.2f}" for value in result["seconds_per_million_rows"].values())
        table.add_row(
            str(result["at_once"]),
            f"{rates['pipeline']:,.0f}",
            f"{rates['encoding']:,.0f}",
            f"{share:.2f}",
            *seconds,
        )
    console.print(table)
    console.print(
        "Seconds are of all shards at a time together, for a million rows, waiting included.",
        soft_wrap=True,
    )
    console.print(f"at most {report['peak_bytes'] / 1e9:.2f} GB of memory", soft_wrap=True)
