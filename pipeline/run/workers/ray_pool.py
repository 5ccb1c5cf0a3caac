"""Shards derived by workers on Ray: on this machine, or on a running cluster."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import ray

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.data.object_store.tries import patience
from hyperdiag.data.shard import Shard
from hyperdiag.run.cluster.ray_cluster import answers, join, on_nodes, start
from hyperdiag.run.cluster.room import check_capacity, with_cores
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import Failed, Receipt
from hyperdiag.run.plan.plan import Plan

from .deadline import Deadline
from .dispatcher import Dispatcher
from .pool import Result
from .ray_actors import WorkerGroup
from .shard_queue import ShardQueue

_TICK_SECONDS = 0.5


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
        fence: what workers ask before they show a file, if anything.

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
        fence: Fence | None = None,
    ):
        self._limits = limits
        longest = max(patience(output_path), patience(plan.location))
        self._deadline = Deadline(limits.shard_seconds, longest)
        self._queue: ShardQueue | None = None
        self._group: WorkerGroup | None = None
        try:
            if folder is None:
                join(cluster, modules)
            else:
                start(cluster, folder)
            self._cluster = cluster = with_cores(cluster)
            check_capacity(cluster)
            self._group = WorkerGroup(cluster, plan.for_workers(), output_path, limits, fence)
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
    def shards_at_a_time(self) -> int:
        """How many shards each may have under way."""
        return self._cluster.in_flight

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
        refs = list(self.group.starting)
        ray.wait(refs, timeout=_TICK_SECONDS)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)  # all that are by now
        for ref in ready:
            self.group.advance_start(ref)
        self.group.reconcile()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return self.group.rows_under_way()

    def batches(self, shards: Iterable[Shard]) -> Iterator[list[Receipt | Failed | None]]:
        """Derive shards; yield what became of them, as it is heard of, as `Dispatcher` does."""
        self._queue = ShardQueue(shards, self._limits.max_attempts, self._limits.retry_seconds)
        in_flight = self._cluster.in_flight
        yield from Dispatcher(self.group, self._queue, self._deadline, in_flight).batches()

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
