"""A pool of workers on Ray that this process never waits for without end."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.data.shard import Shard
from hyperdiag.run.cluster.ray_session import RaySession
from hyperdiag.run.output.receipt import Failed, Receipt

from .pool import Result
from .ray_pool import RayPool, leave_ray


class GuardedPool:
    """A `RayPool` that is called in another thread, with a deadline for each step.

    Args:
        cluster: how long Ray may take, and whether it is one of our own.
        open_pool: returns the pool, given the folder for the files of a Ray of our own; None joins
            a running cluster.

    Raises:
        UsageError: if there is no such cluster, or it lacks what the workers need.
        HyperdiagError: if Ray does not start, or takes too long for it.
    """

    def __init__(self, cluster: ClusterConfig, open_pool: Callable[[str | None], RayPool]):
        self._pool: RayPool | None = None
        self._session = RaySession(cluster)
        folder = self._session.folder
        try:
            self._pool = self._session.start(lambda: open_pool(folder))
        except BaseException:
            self.close()
            raise

    @property
    def _opened(self) -> RayPool:
        assert self._pool is not None
        return self._pool

    @property
    def workers(self) -> int:
        """How many are at work."""
        return self._opened.workers

    @property
    def shards_at_a_time(self) -> int:
        """How many shards each may have under way."""
        return self._opened.shards_at_a_time

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""
        return self._opened.retries

    def start(self, wait_seconds: float = 0.0) -> None:
        """Return when as many workers as the run needs have compiled their kernels.

        Args:
            wait_seconds: to wait after that for others that there is room for.
        """
        self._session.result_of(self._opened.start(wait_seconds))

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return self._opened.rows_under_way()

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None about twice a second."""
        # A batch with each step: a step goes from one thread to another and back.
        for batch in self._session.each(self._opened.batches(shards)):
            yield from batch

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""
        return self._session.result_of(self._opened.measure(shards))

    def peak_bytes(self) -> int:
        """Return the most memory that any worker's process had at a time."""
        return self._session.result_of(self._opened.peak_bytes())

    def on_each_node(self, step: Callable[[str], Result], path: str) -> list[Result]:
        """Return what a step does with a path on each node that has workers."""
        return self._session.result_of(self._opened.on_each_node(step, path))

    def close(self) -> None:
        """Stop the workers at once, and the Ray that was started for them."""
        self._session.close(self._pool.close if self._pool else leave_ray)
