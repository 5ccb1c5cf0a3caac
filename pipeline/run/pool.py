"""What a pool of workers offers, and the one that needs no Ray."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.data.shard import Shard
from pipeline.errors import OutputError

from .plan import Plan
from .receipt import Receipt
from .shard_queue import Failed, ShardQueue
from .worker import Worker


class Pool(Protocol):
    """Workers of one plan."""

    workers: int

    def start(self) -> None:
        """Return when every worker has compiled its kernel."""

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""

    def outcomes(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None now and then while waiting.

        Raises:
            OutputError: if the output cannot be written.
        """

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""

    def close(self) -> None:
        """Let the workers go, whatever they are doing."""


class InlinePool:
    """One worker in this process, one shard at a time.

    Args:
        plan: of the run.
        output_path: the output folder.
        max_attempts: after as many failures a shard is given up.
    """

    workers = 1

    def __init__(self, plan: Plan, output_path: str, max_attempts: int):
        self._worker = Worker(plan, output_path)
        self._max_attempts = max_attempts

    def start(self) -> None:
        """Compile the kernel."""
        self._worker.warm_up()

    def rows_under_way(self) -> int:
        """Return 0: nobody asks while a shard is being derived."""
        return 0

    def outcomes(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards in order; yield what became of each."""
        queue = ShardQueue(shards, self._max_attempts)
        while (shard := queue.take(())) is not None:
            outcome: Receipt | Failed | None
            try:
                outcome = self._worker.derive(shard)
            except OutputError:
                raise
            except Exception as error:  # whatever it is, the other shards go on
                cause = f"{type(error).__name__}: {error}"
                outcome = queue.failed(shard, cause, worker_died=False)
            if outcome is not None:
                yield outcome

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        return self._worker.measure(shards)

    def close(self) -> None:
        """Nothing to let go of."""
