"""The driver of a run whose workers are too many for one machine: what each receipt costs it.

`python -m tests.chaos.driver WORKERS RECEIPTS` has calls of workers answered at once, in this
process. With SECONDS behind, each call goes through a real Ray, to two processes that stand for all
workers, and is answered after so many seconds for each of its shards. All else is the product:
queue, pool, ledger, journal, listeners.
"""

import asyncio
import json
import sys
import tempfile
import time
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import jax
import ray
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.process.signals import StopSignals
from hyperdiag.run import derive as derive_module
from hyperdiag.run.monitoring.failures import Failures
from hyperdiag.run.monitoring.heartbeat_listener import HeartbeatListener
from hyperdiag.run.monitoring.metrics import Metrics
from hyperdiag.run.monitoring.monitor import Listener, Monitor
from hyperdiag.run.monitoring.progress import ProgressLines, ShardLog
from hyperdiag.run.monitoring.totals import Totals
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.receipt import STAGES, Receipt, Tally
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers import dispatcher, ray_actors, ray_pool, worker_handle
from hyperdiag.run.workers.ray_pool import RayPool
from hyperdiag.run.workers.worker_actor import Address

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

    def remote(self, *arguments):
        self._count += 1
        return self._made[self._count % len(self._made)]


def _answered(worker):
    """Return an actor whose calls are answered in this process."""

    def method(name):
        call = getattr(worker, name)
        return SimpleNamespace(remote=lambda *arguments: Answer(call(*arguments)))

    return SimpleNamespace(**{n: method(n) for n in ("address", "start", "under_way", "derive")})


def _no_ray():
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


class _Pool(RayPool):
    """A pool that this thread waits for."""

    def start(self):
        for _ in super().start(0.0):
            pass

    def outcomes(self, shards):
        for batch in self.batches(shards):
            yield from batch


def run(workers, receipts, seconds=None, clock=None):
    """Derive so many shards with so many workers; return what that cost.

    Args:
        workers: how many.
        receipts: that they return.
        seconds: that a worker takes for one, through a real Ray; None answers at once, without.
        clock: the class of what measures: `Clock`, or `LineCount`.
    """
    jax.config.update("jax_platforms", "cpu")
    with tempfile.TemporaryDirectory(prefix="hdd-") as folder, StopSignals() as signals:
        config, planned, ledger = _opened(folder, workers, receipts)
        inventory = ledger.inventory
        totals, failures = Totals(), Failures(inventory, ledger.plan)
        first, last = receipts // 10, receipts - min(12 * workers, receipts // 2)
        clock = (clock or Clock)(first, last)
        with (
            _stand_ins(seconds),
            HeartbeatListener(ledger, planned.rows, signals) as heartbeat,
        ):
            listeners = [clock, totals, failures, ShardLog(), ProgressLines(), heartbeat]
            if seconds:
                listeners.append(Metrics(ledger.plan.digest, "chain"))
            monitor = Monitor(inventory, planned.rows, time.monotonic(), listeners)
            pool = _Pool(config.cluster, config.limits, ledger.plan, ledger.work_path, folder)
            derive_module._derive_missing(pool, ledger, monitor, failures, signals)
        ledger.close()
        assert inventory.count == receipts
    return clock.cost()


def _opened(folder, workers, receipts):
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        composed = compose(
            "derive",
            [
                *("network=chain", "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1]}"),
                f"network.layers='Chain(Dense(3, 4, tanh), Dense(4, {OUTPUTS}))'",
                *(f"dataset.shard_rows={ROWS}", f"dataset.rows={ROWS * receipts}"),
                *("derivatives.method=hyperdual", "derivatives.tile=64"),
                *("cluster=local", "cluster.workers=2", f"output.path={folder}/out"),
            ],
        )
    config = load_config(composed)
    planned = make_plan(config)
    ledger = Ledger(config.output.path, planned.plan)
    ledger.open("resume", "")
    ledger.begin()
    cluster = config.cluster.model_copy(update={"workers": workers})
    return config.model_copy(update={"cluster": cluster}), planned, ledger


@contextmanager
def _stand_ins(seconds):
    """Let calls of workers be answered by what stands for them."""
    with ExitStack() as stack:
        patches = [
            (ray_pool, "start", lambda *_: None),
            (ray_pool, "check_capacity", lambda _: None),
        ]
        if seconds:
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            stack.callback(ray.shutdown)
            remote = ray.remote(SlowWorker).options(max_concurrency=20_000).remote
            made = [remote(seconds), remote(seconds)]
            ray.get([actor.address.remote() for actor in made])
            patches.append((worker_handle.WorkerHandle, "kill", lambda _: None))
        else:
            made = [_answered(Worker(1.0))]
            modules = (ray_pool, ray_actors, worker_handle, dispatcher)
            patches += [(module, "ray", _no_ray()) for module in modules]
        patches.append((ray_actors, "WorkerActor", Actors(made)))
        for target, name, stand_in in patches:
            stack.enter_context(patch.object(target, name, stand_in))
        yield


class Clock(Listener):
    """Wall and processor seconds between two receipts: without what begins and ends a run."""

    def __init__(self, first, last):
        self._first, self._last, self._count, self._times = first, last, 0, []

    def done(self, receipt):
        self._count += 1
        if self._count in (self._first, self._last):
            self._times.append((time.monotonic(), time.process_time()))

    def cost(self):
        receipts = self._last - self._first
        wall, cpu = (end - begin for begin, end in zip(*self._times, strict=True))
        return {
            "receipts_per_s": round(receipts / wall),
            "microseconds": round(cpu / receipts * 1e6),
            "cores": round(cpu / wall, 2),
        }


class LineCount(Listener):
    """Lines of Python run for each receipt between two: the same however busy the machine is."""

    def __init__(self, first, last):
        self._first, self._last, self._count, self._lines = first, last, 0, 0

    def done(self, receipt):
        self._count += 1
        if self._count == self._first:
            self._trace(self._line)
        elif self._count == self._last:
            self._trace(None)

    def _trace(self, traced):
        sys.settrace(traced)
        frame = sys._getframe()
        while frame := frame.f_back:  # those that are under way
            frame.f_trace = traced

    def _line(self, frame, event, argument):
        self._lines += event == "line"
        return self._line

    def cost(self):
        return self._lines / (self._last - self._first)


if __name__ == "__main__":
    workers, receipts, *seconds = sys.argv[1:]
    print(json.dumps(run(int(workers), int(receipts), *map(float, seconds))))
