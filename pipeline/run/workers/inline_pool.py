"""The pool that needs no Ray: one worker, in this process."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

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
    """One worker in this process, one shard at a time.

    Args:
        cluster: how many cores belong to the worker.
        limits: when a shard is given up.
        plan: of the run.
        output_path: the output folder.
        fence: what the worker asks before it shows a file, if anything.
    """

    workers = 1
    shards_at_a_time = 1

    def __init__(
        self,
        cluster: ClusterConfig,
        limits: LimitsConfig,
        plan: Plan,
        output_path: str,
        fence: Fence | None = None,
    ):
        self._limits = limits
        self._queue: ShardQueue | None = None
        self._worker = Worker(plan, output_path, fence, cluster.cpus_per_worker or cores())

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""
        return self._queue.retries if self._queue else 0

    def start(self, wait_seconds: float = 0.0) -> None:
        """Compile the kernel."""
        self._worker.warm_up(self._limits.start_seconds)

    def rows_under_way(self) -> int:
        """Return 0: nobody asks while a shard is being derived."""
        return 0

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards in order; yield what became of each."""
        queue = ShardQueue(shards, self._limits.max_attempts, self._limits.retry_seconds)
        self._queue = queue
        while not queue.empty:
            taken = queue.take(idle=True)
            if not taken:
                time.sleep(_TICK_SECONDS)
                continue
            (shard,) = taken
            try:
                yield self._worker.derive(shard)
                queue.succeeded(shard)
            except (OutputError, Busy):
                raise
            except Exception as error:  # whatever it is, the other shards go on
                cause = f"{type(error).__name__}: {error}"
                yield queue.failed(shard, cause, worker_died=False)

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
