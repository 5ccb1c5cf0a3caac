"""Shards derived by workers on Ray: on this machine, or on a running cluster."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.data.shard import Shard
from hyperdiag.data.store import patience
from hyperdiag.messages.errors import OutputError
from hyperdiag.process.temporary_folder import TemporaryFolder
from hyperdiag.run.cluster.loopback import loopback_only
from hyperdiag.run.cluster.ray_cluster import check_room, first_line, join, on_nodes, room_for
from hyperdiag.run.output.receipt import Failed, Receipt
from hyperdiag.run.plan.plan import Plan

from .deadline import Deadline
from .pool import Result
from .ray_actors import WorkerGroup, WorkerHandle
from .shard_queue import ShardQueue

_TICK_SECONDS = 0.5
_OBJECT_STORE_BYTES = 80 << 20  # receipts are small; Ray's least is 75 MiB


@dataclass
class _Attempt:
    """A shard that a worker has under way.

    Attributes:
        member: the worker.
        shard: which.
        began: when it was handed out.
        rows: read of it, when last heard of.
        moved: when that was more than before.
    """

    member: WorkerHandle
    shard: Shard
    began: float
    rows: int = 0
    moved: float = 0.0

    def quiet_since(self, now: float) -> float:
        """Return since when no progress has been heard of."""
        rows = self.member.under_way.get(self.shard.id, 0)
        if rows > self.rows:
            self.rows, self.moved = rows, now
        return max(self.began, self.moved)


class RayPool:
    """Workers of one plan as Ray actors; joins or starts Ray, and leaves or stops it.

    Args:
        cluster: how many workers, and where.
        limits: when a shard is given up.
        plan: of the run.
        output_path: the output folder.
        modules: files or folders of the user's own modules, to be sent to a running cluster.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        limits: LimitsConfig,
        plan: Plan,
        output_path: str,
        modules: Sequence[str] = (),
    ):
        self._cluster, self._limits = cluster, limits
        longest = max(patience(output_path), patience(plan.location))
        self._deadline = Deadline(limits.shard_seconds, longest)
        self._queue: ShardQueue | None = None
        self._folder: TemporaryFolder | None = None
        self._crew: WorkerGroup | None = None
        try:
            if cluster.name == "existing":
                join(cluster, modules)
            else:
                self._start_ray()
            check_room(cluster)
            self._crew = WorkerGroup(cluster, plan.for_workers(), output_path, limits.max_attempts)
        except BaseException:
            self.close()
            raise

    def _start_ray(self) -> None:
        self._folder = TemporaryFolder()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with loopback_only():
            ray.init(
                address="local",
                num_cpus=max(len(os.sched_getaffinity(0)), self._cluster.workers or 0),
                num_gpus=None if self._cluster.gpus_per_worker else 0,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
                # Below, since Ray opens the folder that it is given to everybody.
                _temp_dir=f"{self._folder.path}/r",
            )

    @property
    def crew(self) -> WorkerGroup:
        """The workers."""
        assert self._crew is not None
        return self._crew

    @property
    def workers(self) -> int:
        """How many are at work."""
        return len(self.crew.ready)

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""
        return self._queue.retries if self._queue else 0

    def start(self, patience: float = 0.0) -> None:
        """Return when as many workers as the run needs have compiled their kernels.

        Args:
            patience: seconds after that to wait for others that there is room for.
        """
        while len(self.crew.ready) < self.crew.least:
            self._go_on_starting()
        deadline = time.monotonic() + patience
        while self.crew.starting and time.monotonic() < deadline:
            if len(self.crew.ready) >= room_for(self._cluster):
                break
            self._go_on_starting()

    def _go_on_starting(self) -> None:
        ready, _ = ray.wait(list(self.crew.starting), timeout=_TICK_SECONDS)
        for ref in ready:
            self.crew.go_on_starting(ref)
        self.crew.look_after()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return self.crew.rows_under_way()

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None about twice a second.

        A worker that dies, or does not answer in time, is replaced, and its shards go back to the
        queue.
        """
        queue = ShardQueue(shards, self._limits.max_attempts, self._limits.retry_seconds)
        self._queue = queue
        running: dict[Any, _Attempt] = {}
        while running or not queue.empty:
            self._hand_out(queue, running)
            ready = self._wait([*running, *self.crew.starting])
            self.crew.ask_what_is_under_way()
            self.crew.look_after()
            yield from self._overdue(queue, running)
            if not ready:
                yield None
            for ref in ready:
                if ref in self.crew.starting:
                    self.crew.go_on_starting(ref)
                elif ref in running:
                    attempt = running.pop(ref)
                    attempt.member.busy_with.remove(attempt.shard)
                    attempt.member.under_way.pop(attempt.shard.id, None)
                    yield self._outcome(ref, attempt, queue)

    def _wait(self, refs: list[Any]) -> list[Any]:
        if refs:
            return ray.wait(refs, timeout=_TICK_SECONDS)[0]
        time.sleep(_TICK_SECONDS)  # all that is left waits for its next attempt
        return []

    def _hand_out(self, queue: ShardQueue, running: dict[Any, _Attempt]) -> None:
        """Give the least busy worker a shard, until nobody can take one."""
        room = self.crew.ready
        while room:
            member = min(room, key=lambda member: len(member.busy_with))
            full = len(member.busy_with) >= self._cluster.shards_in_flight
            shard = None if full else queue.take(member.busy_with)
            if shard is None:
                room.remove(member)
                continue
            member.busy_with.append(shard)
            ref = member.actor.derive.remote(shard)
            running[ref] = _Attempt(member, shard, time.monotonic())

    def _outcome(self, ref: Any, attempt: _Attempt, queue: ShardQueue) -> Receipt | Failed | None:
        shard = attempt.shard
        try:
            receipt = ray.get(ref)
        except RayTaskError as error:
            if isinstance(error.cause, OutputError):
                raise error.cause from None
            cause = f"{type(error.cause).__name__}: {error.cause}"
            return queue.failed(shard, cause, worker_died=False, **attempt.member.where)
        except RayError as error:  # dead, out of memory, or out of reach: then it is to be dead
            attempt.member.kill()
            self.crew.replace(attempt.member)
            cause = f"its worker died ({first_line(error)})"
            return queue.failed(shard, cause, worker_died=True, **attempt.member.where)
        queue.succeeded(shard)
        # Rows that a filter left out took next to no time.
        worked = receipt.tally.derived + receipt.tally.bad
        self._deadline.observe(worked, time.monotonic() - attempt.began)
        return receipt

    def _overdue(self, queue: ShardQueue, running: dict[Any, _Attempt]) -> Iterator[Failed]:
        """End workers that take too long for a shard, and replace them."""
        now = time.monotonic()
        late = [
            attempt
            for attempt in running.values()
            if self._deadline.is_over(attempt.shard, attempt.began, attempt.quiet_since(now), now)
        ]
        for culprit in late:
            member = culprit.member
            member.kill()
            # Nobody waits for it: a node that is cut off never answers.
            for ref in [ref for ref, attempt in running.items() if attempt.member is member]:
                shard = running.pop(ref).shard
                cause = (
                    f"its worker, {now - culprit.began:.0f} s into shard "
                    f"{culprit.shard.id}, was taken for hung and was ended (limits.shard_seconds)"
                )
                given_up = queue.failed(shard, cause, worker_died=True, **member.where)
                if given_up:
                    yield given_up
            self.crew.replace(member)

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""
        members = self.crew.ready
        shares = [shards[position :: len(members)] for position in range(len(members))]
        pairs = zip(members, shares, strict=True)
        return max(ray.get([member.actor.measure.remote(share) for member, share in pairs]))

    def peak_bytes(self) -> int:
        """Return the most memory that any worker's process had at a time."""
        return max(ray.get([member.actor.peak_bytes.remote() for member in self.crew.ready]))

    def everywhere(self, step: Callable[[str], Result], path: str) -> list[Result]:
        """Return what a step does with a path on each node that has workers."""
        if self._cluster.name == "local":
            return [step(path)]
        nodes = {member.address.node for member in self.crew.members if member.address}
        return on_nodes(nodes, step, path)

    def close(self) -> None:
        """Stop the workers at once, and the Ray that was started for them."""
        if ray.is_initialized():
            if self._crew:
                self._crew.dismiss()
            ray.shutdown()
        if self._folder:
            self._folder.remove()
