"""The workers on a Ray cluster: started, replaced when they die, joined by others when it grows."""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.messages.log import about, mask_others
from hyperdiag.messages.masking import masked_errors
from hyperdiag.process.proc import began, peak_bytes
from hyperdiag.run.cluster.ray_cluster import first_line, resources, room_for
from hyperdiag.run.output.receipt import Receipt
from hyperdiag.run.plan.plan import Plan

from .worker import Worker

log = logging.getLogger("hyperdiag")

_START_SECONDS = 3600.0  # to build the network and compile
_LOOK_SECONDS = 5.0  # between two looks at how large the cluster is


class Address(NamedTuple):
    """Where a worker is: its node's id, its process id there, and when that process began."""

    node: str
    process: int
    began: str


@ray.remote(concurrency_groups={"control": 1})
class WorkerActor:
    """A `Worker` in a process of its own."""

    def __init__(self, folder: str):
        mask_others()  # Ray keeps what a worker prints
        # As on the driver: relative paths, and modules in the current folder, mean the same here.
        if Path(folder).is_dir():
            os.chdir(folder)

    def address(self) -> Address:
        """Return where this worker is."""
        node = ray.get_runtime_context().get_node_id()
        return Address(node, os.getpid(), began(os.getpid()))

    def start(self, plan: Plan, output_path: str, slot: int | None) -> None:
        """Pin this process to a core, if told to, and compile the kernel.

        Args:
            plan: the frozen run.
            output_path: the output folder.
            slot: number of this worker among those on its node; None does not pin.
        """
        if slot is not None:
            cores = sorted(os.sched_getaffinity(0))
            for thread in Path("/proc/self/task").iterdir():  # later threads inherit it
                os.sched_setaffinity(int(thread.name), {cores[slot % len(cores)]})
        with masked_errors():
            self._worker = Worker(plan, output_path)
            self._worker.warm_up()
        # What stands now stays. Walking over all of it, JAX's traces above all, at each full
        # collection takes 4% of a worker's time on a small network.
        gc.collect()
        gc.freeze()

    def derive(self, shard: Shard) -> Receipt:
        """Derive a shard."""
        with masked_errors():
            return self._worker.derive(shard)

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


@dataclass(eq=False)
class WorkerHandle:
    """What the driver knows of one worker."""

    actor: Any
    address: Address | None = None
    placed: float = 0.0  # when it had got its place
    slot: int = 0
    ready: bool = False
    busy_with: list[Shard] = field(default_factory=list)
    under_way: dict[int, int] = field(default_factory=dict)

    @property
    def where(self) -> dict[str, str | int]:
        """Its node and process, for the log."""
        return {"node": self.address.node, "process": self.address.process} if self.address else {}

    def kill(self) -> None:
        """End the worker's process, even if it does not listen."""
        ray.kill(self.actor)
        here = ray.get_runtime_context().get_node_id()
        if self.address and self.address.node == here:
            with contextlib.suppress(OSError):  # it is dead already
                # The number of a process that died may be another's by now.
                if began(self.address.process) == self.address.began:
                    os.kill(self.address.process, signal.SIGKILL)


class WorkerGroup:
    """The workers of one plan.

    Args:
        cluster: how many there shall be, at most and at least.
        plan: of the run, without its list of files.
        output_path: where they write.
        max_attempts: times this, per worker, may die at their start before the run is given up.
    """

    def __init__(self, cluster: ClusterConfig, plan: Plan, output_path: str, max_attempts: int):
        self._cluster, self._output_path, self._max_attempts = cluster, output_path, max_attempts
        self._plan = ray.put(plan)
        self.members: list[WorkerHandle] = []
        self.starting: dict[Any, WorkerHandle] = {}  # by the reference of what they are to answer
        self._asked: dict[Any, WorkerHandle] = {}
        self._failures_at_start = 0
        self._looked = self._enough = time.monotonic()
        for _ in range(cluster.workers or room_for(cluster)):
            self._add()

    @property
    def ready(self) -> list[WorkerHandle]:
        """Those that have compiled their kernel."""
        return [member for member in self.members if member.ready]

    @property
    def least(self) -> int:
        """How many the run does not begin without."""
        return min(self._cluster.min_workers or len(self.members), len(self.members))

    def _add(self) -> None:
        actor = WorkerActor.options(  # type: ignore[attr-defined]
            max_concurrency=self._cluster.shards_in_flight, **resources(self._cluster)
        ).remote(str(Path.cwd()))
        member = WorkerHandle(actor)
        self.members.append(member)
        self.starting[actor.address.remote()] = member

    def go_on_starting(self, ref: Any) -> None:
        """Take a worker from placed to pinned and compiled, or from there to ready.

        Raises:
            HyperdiagError: if it cannot start, or workers die again and again at their start.
        """
        member = self.starting.pop(ref)
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            self._failed_at_start(member, f"a worker cannot start: {error.cause}", lasting=True)
            return
        except RayError as error:
            self._failed_at_start(member, f"workers die at their start: {first_line(error)}")
            return
        if member.address is not None:
            member.ready = True
            self._failures_at_start = 0
            return
        taken = {m.slot for m in self.members if m.address and m.address.node == answer.node}
        member.address, member.placed = answer, time.monotonic()
        member.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        pinned = self._cluster.pin and not self._cluster.gpus_per_worker
        step = member.actor.start.remote(
            self._plan, self._output_path, member.slot if pinned else None
        )
        self.starting[step] = member

    def _failed_at_start(self, member: WorkerHandle, cause: str, lasting: bool = False) -> None:
        """Try another in its place; but not for ever, and the run goes on with the others."""
        self._failures_at_start += 1
        member.kill()
        if not self.ready and (lasting or self._failures_at_start >= self._patience):
            raise HyperdiagError(cause)
        log.warning("%s", cause, extra=about(**member.where))
        if self._failures_at_start < self._patience:
            self.replace(member)
        elif member in self.members:
            self.members.remove(member)

    @property
    def _patience(self) -> int:
        return self._max_attempts * len(self.members)

    def replace(self, member: WorkerHandle) -> None:
        """Start another worker for a dead one, once, whichever of its calls tells first."""
        if member in self.members:
            self.members.remove(member)
            self._add()

    def look_after(self) -> None:
        """Let workers join where the cluster has grown; to be called now and then.

        Raises:
            HyperdiagError: if there have been too few workers for too long.
        """
        now = time.monotonic()
        for member in self.members:
            if not member.ready and member.address and now - member.placed > _START_SECONDS:
                self.starting = {r: m for r, m in self.starting.items() if m is not member}
                cause = f"a worker was not ready after {_START_SECONDS:g} s"
                self._failed_at_start(member, cause)
                break
        # Those that compile are there, however long it takes.
        placed = sum(member.address is not None for member in self.members)
        if placed >= self.least:
            self._enough = now
        elif now - self._enough > self._cluster.wait_seconds:
            raise HyperdiagError(
                f"{placed} workers, fewer than the {self.least} of cluster.min_workers, for "
                f"{self._cluster.wait_seconds:g} s (cluster.wait_seconds): the cluster has room "
                f"for {room_for(self._cluster)}; what is finished is kept, and the same command "
                "goes on from there"
            )
        if self._cluster.workers is None and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            for _ in range(room_for(self._cluster) - len(self.members)):
                log.info("the cluster has grown: one more worker")
                self._add()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return sum(sum(member.under_way.values()) for member in self.members)

    def ask_what_is_under_way(self) -> None:
        """Collect the answers that are there, and ask those who have answered again."""
        if self._asked:
            answered, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            for ref in answered:
                member = self._asked.pop(ref)
                try:
                    member.under_way = ray.get(ref)
                except RayError:
                    member.under_way = {}  # the results of its shards will tell
        busy = {id(member) for member in self._asked.values()}
        for member in self.ready:
            if id(member) not in busy:
                self._asked[member.actor.under_way.remote()] = member

    def dismiss(self) -> None:
        """Stop all workers at once."""
        for member in self.members:
            member.kill()
