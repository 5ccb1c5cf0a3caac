"""A worker in a process of its own, as Ray starts it."""

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ray

from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import Busy, OutputError
from hyperdiag.messages.log import mask_others
from hyperdiag.messages.masking import masked_errors, masked_text
from hyperdiag.messages.secrets import register_secrets
from hyperdiag.process.limits import owns_cores
from hyperdiag.process.proc import peak_bytes, start_ticks
from hyperdiag.run.cluster.device import device_trouble
from hyperdiag.run.cluster.job_spec_file import remove_job_spec
from hyperdiag.run.cluster.near_cores import cores_near, keep_to
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import Receipt
from hyperdiag.run.plan.plan import Plan

from .worker import Worker


class Address(NamedTuple):
    """Where a worker is, and what it has there.

    Attributes:
        node: the id of its node.
        process: its id there.
        ticks: the `start_ticks` of that.
        devices: its GPUs, as CUDA_VISIBLE_DEVICES names them.
        cores: numbers of the cores that it may run on; none where they are not its own, since each
            of its neighbours would take the first ones, too.
        near: of the node's cores, those near its GPUs, where that is known.
    """

    node: str
    process: int
    ticks: str
    devices: str = ""
    cores: frozenset[int] = frozenset()
    near: frozenset[int] = frozenset()


class Failure(NamedTuple):
    """A shard that could not be derived.

    Attributes:
        cause: what happened.
        trouble: what the worker's device says, where it is that which failed.
    """

    cause: str
    trouble: str = ""


@ray.remote(concurrency_groups={"control": 1})
class WorkerActor:
    """A `Worker` in a process of its own."""

    def __init__(self, folder: str, secrets: Sequence[str]):
        register_secrets(secrets)
        mask_others()  # Ray keeps what a worker prints
        if ray.get_runtime_context().runtime_env.get("working_dir"):  # that of a submitted run
            remove_job_spec(Path.cwd())
        # As on the driver: relative paths, and modules in the current folder, mean the same here.
        if Path(folder).is_dir():
            os.chdir(folder)

    def address(self) -> Address:
        """Return where this worker is."""
        process = os.getpid()
        # Which Ray sets for an actor that has GPUs, and leaves alone for others.
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "") if ray.get_gpu_ids() else ""
        return Address(
            node=ray.get_runtime_context().get_node_id(),
            process=process,
            ticks=start_ticks(process),
            devices=devices,
            cores=frozenset(os.sched_getaffinity(0)) if owns_cores() else frozenset(),
            near=cores_near(devices),
        )

    def start(
        self,
        plan: Plan,
        output_path: str,
        fence: Fence | None,
        kept: Sequence[int],
        seconds: float,
    ) -> None:
        """Pin this process to its cores, and compile the kernel.

        Args:
            plan: the frozen run.
            output_path: the output folder.
            fence: what is asked before a file is shown, if anything.
            kept: numbers of the cores to keep to; none to run on all.
            seconds: that compiling may take.
        """
        if kept:
            keep_to(kept)
        with masked_errors():
            self._worker = Worker(plan, output_path, fence)
            self._worker.warm_up(seconds)
        # What stands now stays. Walking over all of it, JAX's traces above all, at each full
        # collection takes 4% of a worker's time on a small network.
        gc.collect()
        gc.freeze()

    def derive(self, shards: Sequence[Shard]) -> list[Receipt | Failure]:
        """Derive shards, one after another; return of each its receipt, or why it failed.

        Raises:
            OutputError: if the output cannot be written.
            Busy: if another run has taken it.
        """
        with masked_errors():
            return [self._outcome(shard) for shard in shards]

    def _outcome(self, shard: Shard) -> Receipt | Failure:
        try:
            return self._worker.derive(shard)
        except (OutputError, Busy):
            raise
        except Exception as error:  # whatever it is, the other shards go on
            trouble = masked_text(device_trouble(error))
            return Failure(masked_text(f"{type(error).__name__}: {error}"), trouble)

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        return self._worker.measure(shards)

    def peak_bytes(self) -> int:
        """Return the most memory that this process had at a time."""
        return peak_bytes()

    @ray.method(concurrency_group="control")
    def under_way(self) -> dict[int, int]:
        """Return {shard id: rows read so far}."""
        return self._worker.under_way()
