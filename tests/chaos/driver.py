"""The driver's loop with workers that answer at once: receipts in a second, and what each costs.

`python -m tests.chaos.driver WORKERS RECEIPTS` has Ray's calls answered in this process, by nobody;
with `ray` behind, each call goes through a real Ray, to two processes that stand for all workers.
All else is the product: queue, pool, ledger, journal, listeners.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import jax
import ray
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.data.output_folder import DATA
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.process.signals import StopSignals
from hyperdiag.run import derive as derive_module
from hyperdiag.run.monitoring.failures import Failures
from hyperdiag.run.monitoring.heartbeat_listener import HeartbeatListener
from hyperdiag.run.monitoring.monitor import Monitor
from hyperdiag.run.monitoring.progress import ProgressLines, ShardLog
from hyperdiag.run.monitoring.totals import Totals
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.receipt import STAGES, Receipt, Tally
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers import dispatcher, ray_actors, ray_pool
from hyperdiag.run.workers.ray_actors import Address

ROWS = 100  # of a shard
OUTPUTS = 8


class Worker:
    """Answers at once, with the receipts of shards that took a while.

    Args:
        seconds: that each shard is said to have taken.
    """

    def __init__(self, seconds):
        self._seconds = seconds

    def address(self):
        return Address("node", 0, "0")

    def start(self, *arguments):
        """Nothing."""

    def under_way(self):
        return {}

    def derive(self, shards):
        return [self._receipt(shard) for shard in shards]

    def _receipt(self, shard):
        ends = [[-1.5] * OUTPUTS, [float(shard.id)] * OUTPUTS]
        ranges = dict.fromkeys(("value", "jacobian", "hessian_diag"), ends)
        tally = Tally(ROWS, ROWS, ranges=ranges, flat=[0] * OUTPUTS, verified=4)
        seconds = dict.fromkeys(STAGES, self._seconds / len(STAGES))
        return Receipt(shard.id, tally, seconds, (1000, 1_700_000_000_000_000_000), 64)


class SlowWorker(Worker):
    """Answers when as much time has passed; many workers in one process."""

    async def derive(self, shards):
        # A worker computes one of its three calls at a time.
        await asyncio.sleep(3 * len(shards) * self._seconds)
        return Worker.derive(self, shards)


class Answer:
    """The reference of a call that is answered already."""

    def __init__(self, value):
        self.value = value

    def future(self):
        future = Future()
        future.set_result(self.value)
        return future


class Actors:
    """What makes the handles of actors: of the real ones, all of the same few."""

    def __init__(self, made):
        self._made, self._count = made, 0

    def options(self, **options):
        return self

    def remote(self, folder):
        self._count += 1
        return self._made[self._count % len(self._made)]


def answered(worker):
    """Return an actor whose calls are answered in this process."""

    def method(name):
        call = getattr(worker, name)
        return SimpleNamespace(remote=lambda *arguments: Answer(call(*arguments)))

    return SimpleNamespace(**{n: method(n) for n in ("address", "start", "under_way", "derive")})


def no_ray():
    """Return what the pool calls of Ray, with nothing behind it."""

    def wait(refs, num_returns=1, timeout=None):
        return refs[:num_returns], refs[num_returns:]

    return SimpleNamespace(
        put=lambda value: value,
        get=lambda refs: [r.value for r in refs] if isinstance(refs, list) else refs.value,
        wait=wait,
        kill=lambda actor: None,
        is_initialized=lambda: False,
    )


def run(workers, receipts, through_ray, seconds):
    """Derive so many shards with so many workers; return what it cost."""
    jax.config.update("jax_platforms", "cpu")
    logging.getLogger("hyperdiag").setLevel(logging.INFO)
    folder = Path(tempfile.mkdtemp(prefix="hdd-"))
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        composed = compose(
            "derive",
            [
                *("network=chain", "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1]}"),
                "network.layers='Chain(Dense(3, 4, tanh), Dense(4, 8))'",
                *(f"dataset.shard_rows={ROWS}", f"dataset.rows={ROWS * receipts}"),
                *("derivatives.method=hyperdual", "derivatives.tile=64"),
                *("cluster=local", "cluster.workers=2", f"output.path={folder}/out"),
            ],
        )
    config = load_config(composed)
    planned = make_plan(config)
    cluster = config.cluster.model_copy(update={"workers": workers})
    config = config.model_copy(update={"cluster": cluster})
    ledger = Ledger(config.output.path, planned.plan)
    ledger.open("resume", "")
    ledger.begin()
    (Path(folder) / "out" / DATA).mkdir(exist_ok=True)
    if through_ray:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        made = [
            ray.remote(SlowWorker).options(max_concurrency=20_000).remote(seconds) for _ in range(2)
        ]
        ray.get([actor.address.remote() for actor in made])
    else:
        made = [answered(Worker(seconds))]
    with StopSignals() as signals, contextual(made, through_ray):
        inventory = ledger.inventory
        totals, failures = Totals(), Failures(inventory, ledger.plan)
        with HeartbeatListener(ledger.output, inventory, planned.rows, signals) as heartbeat:
            listeners = [totals, failures, ShardLog(), ProgressLines(), heartbeat]
            if through_ray:
                from hyperdiag.run.monitoring.metrics import Metrics

                listeners.append(Metrics("0" * 16, "chain"))
            monitor = Monitor(inventory, planned.rows, time.monotonic(), listeners)
            clock = Clock(4 * workers, receipts - 12 * workers)
            listeners.insert(0, clock)
            derive_module._derive_missing(config, ledger, monitor, failures, signals)
    ledger.close()
    assert inventory.count == receipts, inventory.count
    return {
        "workers": workers,
        "receipts_per_s": round(clock.receipts / clock.wall),
        "microseconds": round(clock.cpu / clock.receipts * 1e6),
        "core": round(clock.cpu / clock.wall, 2),
    }


class Clock(derive_module.Listener):
    """Wall and processor seconds of the work."""

    def __init__(self, first, last):
        self._receipts, self._first, self._last = 0, first, last

    def started(self, snapshot):
        self._began = time.monotonic(), time.process_time()

    def done(self, receipt):
        self._receipts += 1
        if self._receipts == self._first:
            self._began = time.monotonic(), time.process_time()
        if self._receipts == self._last:
            self.wall = time.monotonic() - self._began[0]
            self.cpu = time.process_time() - self._began[1]
            self.receipts = self._last - self._first


def contextual(made, through_ray):
    from contextlib import ExitStack

    stack = ExitStack()
    patched = [
        (ray_actors, "WorkerActor", Actors(made)),
        (ray_pool, "start", lambda *arguments: None),
        (ray_pool, "check_capacity", lambda cluster: None),
    ]
    if not through_ray:
        patched += [(module, "ray", no_ray()) for module in (ray_pool, ray_actors, dispatcher)]
    else:
        stack.callback(ray.shutdown)
        patched += [(ray_actors.WorkerHandle, "kill", lambda handle: None)]
    for module, name, value in patched:
        stack.enter_context(patch.object(module, name, value))
    return stack


if __name__ == "__main__":
    workers, receipts, *rest = sys.argv[1:]
    seconds = float(rest[-1]) if rest else 1.0
    print(json.dumps(run(int(workers), int(receipts), "ray" in rest, seconds)))
