"""Which shard is next, how often each was tried, and which must be tried alone."""

import logging
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable

from hyperdiag.data.shard import Shard
from hyperdiag.messages.log import about
from hyperdiag.messages.masking import masked_text
from hyperdiag.run.output.receipt import Failed

log = logging.getLogger("hyperdiag")

_LONGEST_PAUSE = 60.0  # seconds between two attempts at a shard
# After so many failures without one success between them, what failed is tried again before
# anything new is: the cause is likely to be the same for all (a store that is down).
_MANY_FAILURES = 8


class ShardQueue:
    """Shards to do.

    A shard that was under way when its worker died is a suspect: it is tried alone from then on,
    so that one which kills its worker takes no other shard with it.

    Args:
        shards: to do, in order; taken one by one.
        max_attempts: after as many failures a shard is given up.
        pause: seconds before a failed shard is tried again, four times longer after each failure.

    Attributes:
        retries: failed attempts after which a shard was put back.
    """

    def __init__(self, shards: Iterable[Shard], max_attempts: int, pause: float = 0.0):
        self.retries = 0
        self._untried = iter(shards)
        self._next = next(self._untried, None)
        # Failed ones, with the time from which on they may be tried again.
        self._waiting: deque[tuple[float, Shard]] = deque()
        self._suspects: deque[tuple[float, Shard]] = deque()
        self._alone: set[int] = set()
        self._attempts: Counter[int] = Counter()
        self._failures_in_a_row = 0
        self._max_attempts, self._pause = max_attempts, pause

    @property
    def empty(self) -> bool:
        """Whether no shard is left to be taken, now or later."""
        return self._next is None and not self._waiting and not self._suspects

    def take(self, in_flight: Collection[Shard]) -> Shard | None:
        """Return the next shard for a worker; None where it gets none now.

        Args:
            in_flight: shards that the worker has under way.
        """
        if any(shard.id in self._alone for shard in in_flight):
            return None
        if _due(self._suspects):  # workers run dry until one is free for the suspect
            return None if in_flight else self._suspects.popleft()[1]
        if _due(self._waiting):
            return self._waiting.popleft()[1]
        if self._waiting and self._failures_in_a_row >= _MANY_FAILURES:
            return None
        shard = self._next
        if shard is not None:
            self._next = next(self._untried, None)
        return shard

    def succeeded(self, shard: Shard) -> None:
        """Take note that a shard is done."""
        self._failures_in_a_row = 0
        self._attempts.pop(shard.id, None)

    def failed(
        self, shard: Shard, cause: str, worker_died: bool, **log_fields: str | int
    ) -> Failed | None:
        """Put a failed shard back; return that it is given up where it was tried enough.

        Args:
            shard: which.
            cause: what happened.
            worker_died: whether the worker is no more.
            log_fields: what else the log shall say, such as the worker's node.
        """
        cause = masked_text(cause)  # it may be a user's function that speaks
        self._attempts[shard.id] += 1
        self._failures_in_a_row += 1
        attempts = self._attempts[shard.id]
        log.warning(
            "shard %d failed (attempt %d): %s",
            *(shard.id, attempts, cause),
            extra=about(shard=shard.id, attempt=attempts, worker_died=worker_died, **log_fields),
        )
        if attempts >= self._max_attempts:
            return Failed(shard, attempts, cause)
        if worker_died:
            self._alone.add(shard.id)
        pause = min(self._pause * 4 ** (attempts - 1), _LONGEST_PAUSE)
        queue = self._suspects if shard.id in self._alone else self._waiting
        queue.append((time.monotonic() + pause, shard))
        self.retries += 1
        return None


def _due(queue: deque[tuple[float, Shard]]) -> bool:
    return bool(queue) and queue[0][0] <= time.monotonic()
