"""A call to a worker that is not answered yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperdiag.data.shard import Shard


@dataclass(eq=False)
class Call:
    """Some shards that a worker was given, to be done one after another.

    Attributes:
        shards: which.
        alone: whether the worker is to have nothing else under way.
        began: when it was made, on the monotonic clock.
    """

    shards: Sequence[Shard]
    alone: bool
    began: float
    _moved: float = 0.0
    _progress: tuple[int, int] = (0, 0)

    @property
    def rows(self) -> int:
        """Rows of its shards together."""
        return sum(shard.rows for shard in self.shards)

    def quiet_since(self, under_way: Mapping[int, int], now: float) -> float:
        """Return since when no progress has been heard of.

        Args:
            under_way: {shard id: rows read so far}, what the worker said last.
            now: on the monotonic clock.
        """
        heard = [
            (position, under_way[shard.id])
            for position, shard in enumerate(self.shards)
            if shard.id in under_way
        ]
        # Between two shards there is none under way.
        if heard and max(heard) > self._progress:
            self._progress, self._moved = max(heard), now
        return max(self.began, self._moved)
