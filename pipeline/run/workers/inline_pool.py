"""The pool that needs no Ray: one worker, in this process."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import Busy, OutputError
from hyperdiag.process.limits import cores
from hyperdiag.process.proc import peak_bytes
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import Failed, Receipt
from hyperdiag.run.plan.plan import Plan

from .pool import Result
from .shard_queue import ShardQueue
from .worker import Worker

_TICK_SECONDS = 0.1


class InlinePool:
    """One worker in this process, several of whose shards are under way in threads.

    Args:
        cluster: how many cores belong to the worker, and how many shards it has under way.
        limits: when a shard is given up.
        plan: of the run.
        output_path: the output folder.
        fence: what the worker asks before it shows a file, if anything.
    """

    workers = 1

    def __init__(
        self,
        cluster: ClusterConfig,
        limits: LimitsConfig,
        plan: Plan,
        output_path: str,
        fence: Fence | None = None,
    ):
        self.shards_at_a_time = cluster.on_cores(cluster.cpus_per_worker or cores()).in_flight
        self._limits = limits
        self._queue: ShardQueue | None = None
        self._worker = Worker(plan, output_path, fence)

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""
        return self._queue.retries if self._queue else 0

    def start(self, wait_seconds: float = 0.0) -> None:
        """Compile the kernel."""
        self._worker.warm_up(self._limits.start_seconds)

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return sum(self._worker.under_way().values())

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None now and then while waiting.

        Whoever takes no more of them waits until each thread is done with its batch.
        """
        queue = ShardQueue(shards, self._limits.max_attempts, self._limits.retry_seconds)
        self._queue = queue
        self._worker.stopping.clear()
        under_way: dict[Future[Receipt], Shard] = {}
        with ThreadPoolExecutor(self.shards_at_a_time) as threads:
            try:
                while under_way or not queue.empty:
                    while len(under_way) < self.shards_at_a_time and (
                        taken := queue.take(idle=True)
                    ):
                        (shard,) = taken
                        under_way[threads.submit(self._worker.derive, shard)] = shard
                    if not under_way:  # those that failed rest
                        time.sleep(_TICK_SECONDS)
                    done, _ = wait(under_way, _TICK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        yield self._outcome(queue, under_way.pop(future), future)
                    if not done:
                        yield None
            finally:
                self._worker.stopping.set()

    def _outcome(
        self, queue: ShardQueue, shard: Shard, future: Future[Receipt]
    ) -> Receipt | Failed | None:
        try:
            receipt = future.result()
        except (OutputError, Busy):
            raise
        except Exception as error:  # whatever it is, the other shards go on
            return queue.failed(shard, f"{type(error).__name__}: {error}", worker_died=False)
        queue.succeeded(shard)
        return receipt

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        return self._worker.measure(shards)

    def peak_bytes(self) -> int:
        """Return the most memory that this process had at a time."""
        return peak_bytes()

    def on_each_node(self, step: Callable[[str], Result], path: str) -> list[Result]:
        """Return what a step does with a path here."""
        return [step(path)]

    def close(self) -> None:
        """Nothing to let go of."""
