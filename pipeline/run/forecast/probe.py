"""A probe: some rows of a run, derived by its own workers into a folder that is removed again."""

import contextlib
import heapq
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import DATA, QUARANTINE, prepare_folders, shard_of
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.process.signals import StopSignals
from hyperdiag.process.temporary_folder import TemporaryFolder
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.receipt import Failed, Receipt, Tally
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.workers.open_pool import open_pool
from hyperdiag.run.workers.pool import Pool

# Of steady work: a rate from less is noise, and one from more is not worth the wait.
_SECONDS = 6.0
_ENOUGH = 3.0  # but for the first pass, in which much is slow that is done for the first time
_MOST_GROWTH = 16.0  # from one pass to the next
_PARTS_PER_WORKER = 3  # at least, so that they read, compute and write at a time, as in the run

_WAIT_SECONDS = 60.0  # for workers that a run would begin without


class WrittenFile(NamedTuple):
    """What a file of the probe holds.

    Attributes:
        shard: the id of the part that it is of.
        rows: how many.
        row_bytes: of them alone, compressed.
        bytes: of the whole file.
    """

    shard: int
    rows: int
    row_bytes: int
    bytes: int


@dataclass
class Probe:
    """What was measured.

    Attributes:
        workers: that were at work.
        readers: shards that all of them may read at a time.
        start_seconds: until they had compiled their kernels, Ray's own start included.
        end_seconds: to let them go.
        seconds: of the last pass.
        rows: read in that pass.
        rows_per_s_per_worker: of the one that had most to do.
        worker_bytes: the most memory that the process of a worker had.
        tally: of these rows.
        data, quarantine: the files written of them.
        failures: why parts could not be derived.
    """

    workers: int = 0
    readers: int = 0
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    rows_per_s_per_worker: float = 0.0
    worker_bytes: int = 0
    tally: Tally = field(default_factory=Tally)
    data: list[WrittenFile] = field(default_factory=list)
    quarantine: list[WrittenFile] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Shards:
    """The shards that a run would derive.

    Args:
        plan: that they belong to.
        inventory: what of it is done.

    Attributes:
        batch: rows that a worker computes at once.
        rows: int64, of each shard.
        total: rows of all.
    """

    def __init__(self, plan: Plan, inventory: Inventory):
        self._plan, self._inventory = plan, inventory
        self.batch = plan.kernel.batch
        self.rows = np.fromiter((shard.rows for shard in inventory.missing(plan)), np.int64)
        self.total = int(self.rows.sum())

    def parts(self, wanted: int, number: int) -> Iterator[Shard]:
        """Yield shards, or first parts of them, spread evenly over the dataset.

        Args:
            wanted: rows of them together, about.
            number: how many; more than there are shards makes several parts of one.
        """
        batches = -(-wanted // (number * self.batch))
        places, rows = np.arange(number) * self.rows.size // number, batches * self.batch
        if wanted >= self.total and number >= self.rows.size:
            places, rows = np.arange(self.rows.size), self.total
        times = Counter(places.tolist())
        for place, shard in enumerate(self._inventory.missing(self._plan)):
            yield from repeat(shard._replace(rows=min(shard.rows, rows)), times[place])


def busiest_rows(rows: Sequence[int] | np.ndarray, workers: int) -> int:
    """Return the rows of the worker that has most, when each takes the next shard once it is free.

    Args:
        rows: of each shard, in order.
        workers: how many.
    """
    loads = [0] * workers
    for more in rows:
        heapq.heapreplace(loads, loads[0] + int(more))
    return max(loads)


def probe(config: Config, plan: Plan, shards: Shards, signals: StopSignals) -> Probe:
    """Start the workers of a run, and let them derive some of its rows.

    They write to a temporary folder of the machine that each is on. What takes them no more than
    some seconds is derived whole.

    Args:
        config: of the run.
        plan: of the run.
        shards: that it would derive, one at least.
        signals: of this process.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
        RunIncomplete: if nothing of the probe could be derived.
    """
    # What fails here is reported, and not tried again.
    limits = config.limits.model_copy(update={"max_attempts": 1})
    config = config.model_copy(update={"limits": limits})
    result = Probe()
    folder = TemporaryFolder()
    try:
        target = f"{folder.path}/output"
        began = time.monotonic()
        pool = open_pool(config, plan, target)
        try:
            signals.check()  # of a signal that came while Ray started
            pool.start(_WAIT_SECONDS)
            result.start_seconds = time.monotonic() - began
            _measure(result, pool, shards, target, signals)
        finally:
            ending = time.monotonic()
            pool.close()
            result.end_seconds = time.monotonic() - ending
    finally:
        folder.remove()
    return result


def _measure(result: Probe, pool: Pool, shards: Shards, target: str, signals: StopSignals) -> None:
    pool.on_each_node(_prepare, target)
    try:
        first = _work_steadily(result, pool, shards, signals)
        for written in pool.on_each_node(_written, target):
            result.data += (file for file in written[DATA] if file.shard >= first)
            result.quarantine += (file for file in written[QUARANTINE] if file.shard >= first)
        result.worker_bytes = pool.peak_bytes()
    finally:
        pool.on_each_node(_remove, target)


def _work_steadily(result: Probe, pool: Pool, shards: Shards, signals: StopSignals) -> int:
    """Derive more and more rows, until a pass takes long enough to tell the rate.

    Returns:
        The id of the first part of that pass.
    """
    ids = count()  # of their own: several parts may be of one shard
    number = pool.workers
    wanted = shards.batch * number
    while True:
        result.workers = pool.workers
        result.readers = pool.workers * pool.shards_at_a_time
        parts = [part._replace(id=next(ids)) for part in shards.parts(wanted, number)]
        planned = sum(part.rows for part in parts)
        began = time.monotonic()
        result.tally = done = Tally()
        for outcome in pool.outcomes(parts):
            signals.check()
            if isinstance(outcome, Receipt):
                done.add(outcome.tally)
            elif isinstance(outcome, Failed):
                result.failures.append(outcome.cause)
        result.seconds, result.rows = time.monotonic() - began, done.read
        if not done.read:
            raise RunIncomplete(f"no row of the probe could be derived: {result.failures[0]}")
        busiest = busiest_rows([part.rows for part in parts], result.workers)
        result.rows_per_s_per_worker = busiest / result.seconds * done.read / planned
        first = parts[0].id
        # All there is to derive tells the rate, cold or not: so will the run.
        if result.seconds >= (_ENOUGH if first else _SECONDS) or planned == shards.total:
            return first
        growth = min(_SECONDS / result.seconds, _MOST_GROWTH)
        wanted = math.ceil(planned * growth)
        whole = math.ceil(wanted * shards.rows.size / shards.total)
        number = min(whole, math.ceil(len(parts) * growth))
        number = max(number, _PARTS_PER_WORKER * result.workers)
        number = -(-number // result.workers) * result.workers


def _prepare(path: str) -> None:
    prepare_folders(resolve(path))


def _written(path: str) -> dict[str, list[WrittenFile]]:
    return {
        folder: [_counted(file) for file in Path(path, folder).iterdir()]
        for folder in (DATA, QUARANTINE)
    }


def _counted(file: Path) -> WrittenFile:
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    row_bytes = sum(chunk.total_compressed_size for chunk in chunks)
    return WrittenFile(shard_of(file.name), metadata.num_rows, row_bytes, file.stat().st_size)


def _remove(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)
    # Of another machine than this one, whose lock is in it and which removes it itself.
    with contextlib.suppress(OSError):
        Path(path).parent.rmdir()
