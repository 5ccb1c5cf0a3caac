"""Workers as Ray actors: on this machine, or on a running cluster."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from pipeline.config import ClusterConfig
from pipeline.data.shard import Shard
from pipeline.errors import HyperdiagError, OutputError

from .plan import Plan
from .ray_cluster import first_line, join, resources, workers_for
from .receipt import Receipt
from .shard_queue import Failed, ShardQueue
from .worker import Worker

_TICK_SECONDS = 0.5
_OBJECT_STORE_BYTES = 80 << 20  # receipts are small; Ray's least is 75 MiB


@ray.remote(concurrency_groups={"control": 1})
class WorkerActor:
    """A `Worker` in a process of its own."""

    def __init__(self, folder: str):
        # As on the driver: relative paths, and modules in the current folder, mean the same here.
        if Path(folder).is_dir():
            os.chdir(folder)

    def node(self) -> str:
        """Return the id of the node that this worker is on."""
        return ray.get_runtime_context().get_node_id()

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
        self._worker = Worker(plan, output_path)
        self._worker.warm_up()

    def derive(self, shard: Shard) -> Receipt:
        """Derive a shard."""
        return self._worker.derive(shard)

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        return self._worker.measure(shards)

    @ray.method(concurrency_group="control")
    def under_way(self) -> dict[int, int]:
        """Return {shard id: rows read so far}."""
        return self._worker.under_way()


@dataclass(eq=False)
class _Member:
    """What the driver knows of one worker."""

    actor: Any
    node: str | None = None
    slot: int = 0
    ready: bool = False
    busy_with: list[Shard] = field(default_factory=list)
    under_way: dict[int, int] = field(default_factory=dict)


class RayPool:
    """Workers of one plan as Ray actors; joins or starts Ray, and leaves or stops it.

    Args:
        cluster: how many workers, and where.
        plan: of the run.
        output_path: the output folder.
        max_attempts: after as many failures a shard is given up.
        modules: files or folders of the user's own modules, to be sent to a running cluster.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        plan: Plan,
        output_path: str,
        max_attempts: int,
        modules: Sequence[str] = (),
    ):
        self._cluster = cluster
        self._output_path = output_path
        self._max_attempts = max_attempts
        self._scratch: str | None = None
        self._members: list[_Member] = []
        self._starting: dict[Any, _Member] = {}  # by the reference of what they are to answer
        self._asked: dict[Any, _Member] = {}
        self._deaths_at_start = 0
        try:
            if cluster.name == "existing":
                join(cluster, modules)
            else:
                self._start_ray()
            self.workers = workers_for(cluster)
            self._plan = ray.put(plan)
            for _ in range(self.workers):
                self._add_member()
        except BaseException:
            self.close()
            raise

    def _start_ray(self) -> None:
        # A folder of its own, so that nothing is left behind; short, since it holds sockets.
        self._scratch = tempfile.mkdtemp(prefix="hd-")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=max(len(os.sched_getaffinity(0)), self._cluster.workers or 0),
            num_gpus=None if self._cluster.gpus_per_worker else 0,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=self._scratch,
        )

    def _add_member(self) -> None:
        actor = WorkerActor.options(  # type: ignore[attr-defined]
            max_concurrency=self._cluster.shards_in_flight, **resources(self._cluster)
        ).remote(str(Path.cwd()))
        member = _Member(actor)
        self._members.append(member)
        self._starting[actor.node.remote()] = member

    def start(self) -> None:
        """Return when every worker has compiled its kernel."""
        while self._starting:
            ready, _ = ray.wait(list(self._starting))
            self._next_step_of_start(ready[0])

    def _next_step_of_start(self, ref: Any) -> None:
        """Take a worker from placed to pinned and compiled, or from there to ready."""
        member = self._starting.pop(ref)
        try:
            answer = ray.get(ref)
        except RayActorError as error:
            self._deaths_at_start += 1
            if self._deaths_at_start >= self._max_attempts * self.workers:
                raise HyperdiagError(f"workers die at their start: {first_line(error)}") from None
            self._replace(member)
            return
        except RayTaskError as error:
            raise HyperdiagError(f"a worker cannot start: {error.cause}") from error
        if member.node is not None:
            member.ready = True
            return
        taken = {other.slot for other in self._members if other.node == answer}
        member.node = answer
        member.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        pinned = self._cluster.pin and not self._cluster.gpus_per_worker
        step = member.actor.start.remote(
            self._plan, self._output_path, member.slot if pinned else None
        )
        self._starting[step] = member

    def _replace(self, member: _Member) -> None:
        """Start another worker for a dead one, once, whichever of its calls tells first."""
        if member in self._members:
            self._members.remove(member)
            self._add_member()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return sum(sum(member.under_way.values()) for member in self._members)

    def outcomes(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None about twice a second.

        A worker that dies is replaced, and its shards go back to the queue.
        """
        queue = ShardQueue(shards, self._max_attempts)
        running: dict[Any, tuple[_Member, Shard]] = {}
        left = len(shards)
        while left:
            self._hand_out(queue, running)
            ready, _ = ray.wait([*running, *self._starting], timeout=_TICK_SECONDS)
            self._ask_what_is_under_way()
            if not ready:
                yield None
                continue
            (ref,) = ready
            if ref in self._starting:
                self._next_step_of_start(ref)
                continue
            member, shard = running.pop(ref)
            member.busy_with.remove(shard)
            member.under_way.pop(shard.id, None)
            outcome = self._outcome(ref, member, shard, queue)
            if outcome is not None:
                left -= 1
                yield outcome

    def _hand_out(self, queue: ShardQueue, running: dict[Any, tuple[_Member, Shard]]) -> None:
        """Give the least busy worker a shard, until nobody can take one."""
        room = [member for member in self._members if member.ready]
        while room:
            member = min(room, key=lambda member: len(member.busy_with))
            full = len(member.busy_with) >= self._cluster.shards_in_flight
            shard = None if full else queue.take(member.busy_with)
            if shard is None:
                room.remove(member)
                continue
            member.busy_with.append(shard)
            running[member.actor.derive.remote(shard)] = member, shard

    def _outcome(
        self, ref: Any, member: _Member, shard: Shard, queue: ShardQueue
    ) -> Receipt | Failed | None:
        try:
            return ray.get(ref)
        except RayActorError as error:
            self._replace(member)
            return queue.failed(shard, f"its worker died ({first_line(error)})", worker_died=True)
        except RayTaskError as error:
            if isinstance(error.cause, OutputError):
                raise error.cause from None
            cause = f"{type(error.cause).__name__}: {error.cause}"
            return queue.failed(shard, cause, worker_died=False)

    def _ask_what_is_under_way(self) -> None:
        """Collect the answers that are there, and ask those who have answered again."""
        if self._asked:
            answered, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            for ref in answered:
                member = self._asked.pop(ref)
                try:
                    member.under_way = ray.get(ref)
                except (RayActorError, RayTaskError):
                    member.under_way = {}  # the results of its shards will tell
        busy = {id(member) for member in self._asked.values()}
        for member in self._members:
            if member.ready and id(member) not in busy:
                self._asked[member.actor.under_way.remote()] = member

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""
        shares = [shards[position :: self.workers] for position in range(self.workers)]
        pairs = zip(self._members, shares, strict=True)
        return max(ray.get([member.actor.measure.remote(share) for member, share in pairs]))

    def close(self) -> None:
        """Stop the workers at once, and the Ray that was started for them."""
        if ray.is_initialized():
            for member in self._members:
                ray.kill(member.actor)
            ray.shutdown()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
