"""What a pool of workers offers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from hyperdiag.data.shard import Shard
from hyperdiag.run.output.receipt import Failed, Receipt

Result = TypeVar("Result")


class Pool(Protocol):
    """Workers of one plan."""

    @property
    def workers(self) -> int:
        """How many are at work."""

    @property
    def shards_at_a_time(self) -> int:
        """How many shards each may have under way."""

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""

    def start(self, wait_seconds: float = 0.0) -> None:
        """Return when as many workers as the run needs have compiled their kernels.

        Args:
            wait_seconds: to wait after that for others that there is room for.
        """

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Receipt | Failed | None]:
        """Derive shards; yield what became of each, and None now and then while waiting.

        Raises:
            OutputError: if the output cannot be written.
        """

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernels alone need for these shards' points, in memory."""

    def peak_bytes(self) -> int:
        """Return the most memory that any worker's process had at a time."""

    def on_each_node(self, step: Callable[[str], Result], path: str) -> list[Result]:
        """Return what a step does with a path on each machine that has workers."""

    def close(self) -> None:
        """Let the workers go, whatever they are doing."""
