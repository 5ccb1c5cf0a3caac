"""Shards derived by workers on Ray: on this machine, or on a running cluster."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.data.shard import Shard
from hyperdiag.data.store import patience
from hyperdiag.messages.errors import OutputError, first_line
from hyperdiag.run.cluster.ray_cluster import (
    answers,
    check_capacity,
    join,
    on_nodes,
    start,
)
from hyperdiag.run.output.receipt import Failed, Receipt
from hyperdiag.run.plan.plan import Plan

from .deadline import Deadline
from .pool import Result
from .ray_actors import WorkerGroup, WorkerHandle
from .shard_queue import ShardQueue

_TICK_SECONDS = 0.5


@dataclass
class _Attempt:
    """A shard that a worker has under way.

    Attributes:
        handle: of the worker.
        shard: which.
        began: when it was handed out, on the monotonic clock, as `moved`.
        rows: read of it, when last heard of.
        moved: when that was more than before.
    """

    handle: WorkerHandle
    shard: Shard
    began: float
    rows: int = 0
    moved: float = 0.0

    def quiet_since(self, now: float) -> float:
        """Return since when no progress has been heard of."""
        rows = self.handle.under_way.get(self.shard.id, 0)
        if rows > self.rows:
            self.rows, self.moved = rows, now
        return max(self.began, self.moved)


class RayPool:
    """Workers of one plan as Ray actors; joins or starts Ray, and leaves or stops it.

    What waits for Ray is a generator, which yields now and then while it waits: see `GuardedPool`.

    Args:
        cluster: how many workers, and where.
        limits: when a shard is given up.
        plan: of the run.
        output_path: the output folder.
        folder: for the files of a Ray of our own; None joins a running cluster.
        modules: files or folders of the user's own modules, to be sent to a running cluster.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
        HyperdiagError: if Ray does not start on this machine.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        limits: LimitsConfig,
        plan: Plan,
        output_path: str,
        folder: str | None,
        modules: Sequence[str] = (),
    ):
        self._cluster, self._limits = cluster, limits
        longest = max(patience(output_path), patience(plan.location))
        self._deadline = Deadline(limits.shard_seconds, longest)
        self._queue: ShardQueue | None = None
        self._group: WorkerGroup | None = None
        try:
            if folder is None:
                join(cluster, modules)
            else:
                start(cluster, folder)
            check_capacity(cluster)
            self._group = WorkerGroup(cluster, plan.for_workers(), output_path, limits)
        except BaseException:
            self.close()
            raise

    @property
    def group(self) -> WorkerGroup:
        """The workers."""
        assert self._group is not None
        return self._group

    @property
    def workers(self) -> int:
        """How many are at work."""
        return len(self.group.ready)

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""
        return self._queue.retries if self._queue else 0

    def start(self, wait_seconds: float) -> Generator[None, None, None]:
        """Return when as many workers as the run needs have compiled their kernels.

        Args:
            wait_seconds: to wait after that for others that there is room for.
        """
        while len(self.group.ready) < self.group.least:
            self._advance_starts()
            yield
        deadline = time.monotonic() + wait_seconds
        while self.group.starting and time.monotonic() < deadline:
            if len(self.group.ready) >= self.group.room():
                break
            self._advance_starts()
            yield

    def _advance_starts(self) -> None:
        ready, _ = ray.wait(list(self.group.starting), timeout=_TICK_SECONDS)
        for ref in ready:
            self.group.advance_start(ref)
        self.group.reconcile()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return self.group.rows_under_way()

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
            ready = self._wait([*running, *self.group.starting])
            self.group.poll_progress()
            self.group.reconcile()
            yield from self._overdue(queue, running)
            if not ready:
                yield None
            for ref in ready:
                if ref in self.group.starting:
                    self.group.advance_start(ref)
                elif ref in running:
                    attempt = running.pop(ref)
                    attempt.handle.in_flight.remove(attempt.shard)
                    attempt.handle.under_way.pop(attempt.shard.id, None)
                    yield self._outcome(ref, attempt, queue)

    def _wait(self, refs: list[Any]) -> list[Any]:
        if refs:
            return ray.wait(refs, timeout=_TICK_SECONDS)[0]
        time.sleep(_TICK_SECONDS)  # all that is left waits for its next attempt
        return []

    def _hand_out(self, queue: ShardQueue, running: dict[Any, _Attempt]) -> None:
        """Give the least busy worker a shard, until nobody can take one."""
        free = self.group.ready
        while free:
            handle = min(free, key=lambda handle: len(handle.in_flight))
            full = len(handle.in_flight) >= self._cluster.shards_in_flight
            shard = None if full else queue.take(handle.in_flight)
            if shard is None:
                free.remove(handle)
                continue
            handle.in_flight.append(shard)
            ref = handle.actor.derive.remote(shard)
            running[ref] = _Attempt(handle, shard, time.monotonic())

    def _outcome(self, ref: Any, attempt: _Attempt, queue: ShardQueue) -> Receipt | Failed | None:
        shard = attempt.shard
        try:
            receipt = ray.get(ref)
        except RayTaskError as error:
            if isinstance(error.cause, OutputError):
                raise error.cause from None
            cause = f"{type(error.cause).__name__}: {error.cause}"
            return queue.failed(shard, cause, worker_died=False, **attempt.handle.log_fields)
        except RayError as error:  # dead, out of memory, or out of reach: then it is to be dead
            attempt.handle.kill()
            self.group.replace(attempt.handle)
            cause = f"its worker died ({first_line(error)})"
            return queue.failed(shard, cause, worker_died=True, **attempt.handle.log_fields)
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
            handle = culprit.handle
            handle.kill()
            # Nobody waits for it: a node that is cut off never answers.
            for ref in [ref for ref, attempt in running.items() if attempt.handle is handle]:
                shard = running.pop(ref).shard
                cause = (
                    f"its worker, {now - culprit.began:.0f} s into shard {culprit.shard.id}, was "
                    f"taken for hung and was ended ({self._deadline.sentence(culprit.shard)})"
                )
                given_up = queue.failed(shard, cause, worker_died=True, **handle.log_fields)
                if given_up:
                    yield given_up
            self.group.replace(handle)

    def measure(self, shards: Sequence[Shard]) -> Generator[None, None, float]:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""
        handles = self.group.ready
        shares = [shards[position :: len(handles)] for position in range(len(handles))]
        pairs = zip(handles, shares, strict=True)
        return max((yield from answers([h.actor.measure.remote(share) for h, share in pairs])))

    def peak_bytes(self) -> Generator[None, None, int]:
        """Return the most memory that any worker's process had at a time."""
        refs = [handle.actor.peak_bytes.remote() for handle in self.group.ready]
        return max((yield from answers(refs)))

    def on_each_node(
        self, step: Callable[[str], Result], path: str
    ) -> Generator[None, None, list[Result]]:
        """Return what a step does with a path on each node that has workers."""
        if self._cluster.name == "local":
            return [step(path)]
        nodes = {handle.address.node for handle in self.group.handles if handle.address}
        return (yield from on_nodes(nodes, step, path))

    def close(self) -> None:
        """Stop the workers at once, and the Ray that was started for them."""
        leave_ray(self._group)


def leave_ray(group: WorkerGroup | None = None) -> None:
    """Leave Ray, or stop it where it was started here; kill workers first."""
    if ray.is_initialized():
        if group:
            group.kill()
        ray.shutdown()
