"""Workers as Ray actors: started, replaced when they die, joined by others when a cluster grows."""

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
from ray.exceptions import RayActorError, RayError, RayTaskError

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import Busy, HyperdiagError, OutputError, first_line
from hyperdiag.messages.log import about, mask_others
from hyperdiag.messages.masking import masked_errors, masked_text
from hyperdiag.messages.secrets import register_secrets, registered_secrets
from hyperdiag.process.limits import owns_cores
from hyperdiag.process.proc import peak_bytes, start_ticks
from hyperdiag.run.cluster.job_spec_file import remove_job_spec
from hyperdiag.run.cluster.ray_cluster import capacity, resources
from hyperdiag.run.cluster.ray_workarounds import node_of
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import Receipt
from hyperdiag.run.plan.plan import Plan

from .call import Call
from .start_failures import StartFailures
from .worker import Worker

log = logging.getLogger("hyperdiag")

# For which a worker is waited for that should have said that it is not ready in time.
_GRACE_SECONDS = 60.0
_SIZE_CHECK_SECONDS = 5.0  # between two looks at how large the cluster is


class Address(NamedTuple):
    """Where a worker is: its node's id, its process id there, and the `start_ticks` of that."""

    node: str
    process: int
    ticks: str


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
        node = ray.get_runtime_context().get_node_id()
        return Address(node, os.getpid(), start_ticks(os.getpid()))

    def start(
        self,
        plan: Plan,
        output_path: str,
        fence: Fence | None,
        slot: int | None,
        seconds: float,
    ) -> None:
        """Pin this process to a core, if told to and cores are its own, and compile the kernel.

        Args:
            plan: the frozen run.
            output_path: the output folder.
            fence: what is asked before a file is shown, if anything.
            slot: number of this worker among those on its node; None does not pin.
            seconds: that compiling may take.
        """
        # Where neighbours may run on every core, too, each of them would take the first ones.
        if slot is not None and owns_cores():
            cores = sorted(os.sched_getaffinity(0))
            for thread in Path("/proc/self/task").iterdir():  # later threads inherit it
                os.sched_setaffinity(int(thread.name), {cores[slot % len(cores)]})
        with masked_errors():
            self._worker = Worker(plan, output_path, fence)
            self._worker.warm_up(seconds)
        # What stands now stays. Walking over all of it, JAX's traces above all, at each full
        # collection takes 4% of a worker's time on a small network.
        gc.collect()
        gc.freeze()

    def derive(self, shards: Sequence[Shard]) -> list[Receipt | str]:
        """Derive shards, one after another; return of each its receipt, or why it failed.

        Raises:
            OutputError: if the output cannot be written.
            Busy: if another run has taken it.
        """
        with masked_errors():
            return [self._outcome(shard) for shard in shards]

    def _outcome(self, shard: Shard) -> Receipt | str:
        try:
            return self._worker.derive(shard)
        except (OutputError, Busy):
            raise
        except Exception as error:  # whatever it is, the other shards go on
            return masked_text(f"{type(error).__name__}: {error}")

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
    """What the driver knows of one worker.

    Attributes:
        actor: Ray's handle of it.
        address: where it is; None until Ray has found a place for it.
        placed: when that was, on the monotonic clock.
        slot: its number among the workers on its node.
        ready: whether it has compiled its kernel.
        calls: with shards, that it has not answered, in the order in which they were made.
        under_way: {shard id: rows read so far}, as last heard of.
        asked: when it was asked for that, on the monotonic clock.
        answering: whether it has not answered that yet.
    """

    actor: Any
    address: Address | None = None
    placed: float = 0.0
    slot: int = 0
    ready: bool = False
    calls: list[Call] = field(default_factory=list)
    under_way: dict[int, int] = field(default_factory=dict)
    asked: float = 0.0
    answering: bool = False

    def is_ready_on(self, node: str) -> bool:
        """Return whether it has started, on a node."""
        return self.ready and self.address is not None and self.address.node == node

    @property
    def log_fields(self) -> dict[str, str | int]:
        """Its node and process, for the log."""
        return {"node": self.address.node, "process": self.address.process} if self.address else {}

    def kill(self) -> None:
        """End the worker's process, even if that does not react.

        `ray.kill` asks the process to end itself; one on this machine is killed by the kernel, too.
        """
        ray.kill(self.actor)
        here = ray.get_runtime_context().get_node_id()
        if self.address and self.address.node == here:
            with contextlib.suppress(OSError):  # it is dead already
                # The number of a process that died may be another's by now.
                if start_ticks(self.address.process) == self.address.ticks:
                    os.kill(self.address.process, signal.SIGKILL)


class WorkerGroup:
    """The workers of one plan.

    Args:
        cluster: how many there shall be, at most and at least.
        plan: of the run, without its list of files.
        output_path: where they write.
        limits: how often they may die at their start, for each of them, before the run is given
            up; and how long they may take for it.
        fence: what they ask before they show a file, if anything.

    Attributes:
        handles: of all workers that are alive, as far as is known.
        starting: those that start, by the reference of the call that they are to answer.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        plan: Plan,
        output_path: str,
        limits: LimitsConfig,
        fence: Fence | None = None,
    ):
        self._fence = fence
        self._cluster, self._output_path, self._limits = cluster, output_path, limits
        self._plan = ray.put(plan)
        self.handles: list[WorkerHandle] = []
        self.starting: dict[Any, WorkerHandle] = {}
        self._failures = StartFailures(cluster, limits)
        self._size_checked = self._last_enough = time.monotonic()
        for _ in range(cluster.workers or capacity(cluster)):
            self._add()

    @property
    def ready(self) -> list[WorkerHandle]:
        """Those that have compiled their kernel."""
        return [handle for handle in self.handles if handle.ready]

    @property
    def least(self) -> int:
        """How many the run does not begin without."""
        return min(self._cluster.min_workers or len(self.handles), len(self.handles))

    def _add(self) -> None:
        actor = WorkerActor.options(  # type: ignore[attr-defined]
            max_concurrency=self._cluster.shards_in_flight,
            **resources(self._cluster),
            **self._failures.bad_nodes.placement,
        ).remote(str(Path.cwd()), registered_secrets())
        handle = WorkerHandle(actor)
        self.handles.append(handle)
        self.starting[actor.address.remote()] = handle

    def advance_start(self, ref: Any) -> None:
        """Take a worker from placed to pinned and compiling, or from there to ready.

        Args:
            ref: of a call in `starting` that is answered.

        Raises:
            HyperdiagError: if it cannot start, or workers die again and again at their start.
        """
        handle = self.starting.pop(ref)
        try:
            address = ray.get(ref)
        except RayTaskError as error:
            self._failed_at_start(handle, f"a worker cannot start: {error.cause}", lasting=True)
            return
        except RayError as error:
            if isinstance(error, RayActorError) and error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]  # after the stack
                cause = f"a worker cannot start: {reason}"
                self._failed_at_start(handle, cause, lasting=True)
            else:
                self._failed_at_start(handle, f"workers die at their start: {first_line(error)}")
            return
        if handle.address is not None:
            handle.ready = True
            self._failures.forget()
            return
        taken = {h.slot for h in self.handles if h.address and h.address.node == address.node}
        handle.address, handle.placed = address, time.monotonic()
        handle.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        pinned = self._cluster.pin and not self._cluster.gpus_per_worker
        call = handle.actor.start.remote(
            *(self._plan, self._output_path, self._fence, handle.slot if pinned else None),
            self._limits.start_seconds,
        )
        self.starting[call] = handle

    def _failed_at_start(self, handle: WorkerHandle, cause: str, lasting: bool = False) -> None:
        """Try another in its place; but not for ever, and the run goes on with the others.

        Raises:
            HyperdiagError: if they are not enough.
        """
        node = handle.address.node if handle.address else node_of(handle.actor)
        handle.kill()
        if node is not None and any(each.is_ready_on(node) for each in self.handles):
            node = None
        self._failures.record(cause, node, lasting, len(self.ready), len(self.handles))
        if node not in self._failures.bad_nodes:  # of which it is said
            log.warning("%s", cause, extra=about(**handle.log_fields))
        others = len(self.handles) - (handle in self.handles)
        again = not self._failures.too_many(len(self.handles))
        if again and self._failures.has_room_beside(others):
            self.replace(handle)
        elif handle in self.handles:
            self.handles.remove(handle)

    def room(self) -> int:
        """Return how many workers the cluster has room for, without nodes that are left out."""
        return self._failures.room()

    def replace(self, handle: WorkerHandle) -> None:
        """Start another worker for a dead one, once, whichever of its calls tells first."""
        if handle in self.handles:
            self.handles.remove(handle)
            self._add()

    def reconcile(self) -> None:
        """Replace a worker that hangs at its start, and add workers where the cluster has grown.

        To be called now and then.

        Raises:
            HyperdiagError: if there have been too few workers for too long.
        """
        now = time.monotonic()
        longest = self._limits.start_seconds + _GRACE_SECONDS
        for ref, handle in list(self.starting.items()):
            if handle.address and now - handle.placed > longest:
                del self.starting[ref]
                cause = (
                    f"a worker was not ready after {longest:g} s, and did not say why "
                    "(limits.start_seconds): building the network or compiling it may hang"
                )
                self._failed_at_start(handle, cause)
        # Those that compile have their place, however long it takes.
        placed = sum(handle.address is not None for handle in self.handles)
        if placed >= self.least:
            self._last_enough = now
        elif now - self._last_enough > self._cluster.wait_seconds:
            raise HyperdiagError(
                f"{placed} workers, fewer than the {self.least} of cluster.min_workers, for "
                f"{self._cluster.wait_seconds:g} s (cluster.wait_seconds): the cluster has room "
                f"for {self.room()}; what is finished is kept, and the same command "
                "goes on from there"
            )
        if self._cluster.workers is None and now - self._size_checked > _SIZE_CHECK_SECONDS:
            self._size_checked = now
            for _ in range(self.room() - len(self.handles)):
                log.info("the cluster has grown: one more worker")
                self._add()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return sum(sum(handle.under_way.values()) for handle in self.handles)

    def kill(self) -> None:
        """Kill all workers."""
        for handle in self.handles:
            handle.kill()
