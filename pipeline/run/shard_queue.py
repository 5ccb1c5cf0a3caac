"""Which shard is next, how often each was tried, and which must be tried alone."""

import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.data.shard import Shard

log = logging.getLogger("hyperdiag")


@dataclass(frozen=True)
class Failed:
    """A shard that was given up.

    Attributes:
        shard: which.
        attempts: how often it was tried.
        cause: what happened the last time.
    """

    shard: Shard
    attempts: int
    cause: str


class ShardQueue:
    """Shards to do.

    A shard that was under way when its worker died is a suspect: it is tried alone from then on,
    so that one which kills its worker takes no other with it.

    Args:
        shards: to do, in order.
        max_attempts: after as many failures a shard is given up.
    """

    def __init__(self, shards: Iterable[Shard], max_attempts: int):
        self._waiting = deque(shards)
        self._suspects: deque[Shard] = deque()
        self._alone: set[int] = set()
        self._attempts: Counter[int] = Counter()
        self._max_attempts = max_attempts

    def take(self, busy_with: Collection[Shard]) -> Shard | None:
        """Return the next shard for a worker, given what it has under way; None for none now."""
        if any(shard.id in self._alone for shard in busy_with):
            return None
        if self._suspects:  # workers run dry until one is free for the suspect
            return None if busy_with else self._suspects.popleft()
        return self._waiting.popleft() if self._waiting else None

    def failed(self, shard: Shard, cause: str, worker_died: bool) -> Failed | None:
        """Put a failed shard back; return that it is given up where it was tried enough."""
        self._attempts[shard.id] += 1
        attempts = self._attempts[shard.id]
        log.warning("shard %d failed (attempt %d): %s", shard.id, attempts, cause)
        if attempts >= self._max_attempts:
            return Failed(shard, attempts, cause)
        if worker_died:
            self._alone.add(shard.id)
        (self._suspects if shard.id in self._alone else self._waiting).append(shard)
        return None
