"""Which shards are next, how often each was tried, and which must be tried alone."""

import heapq
import logging
import time
from collections import Counter
from collections.abc import Iterable
from itertools import count
from operator import length_hint

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

    A shard that was under way when its worker died, or its worker's device failed, is a suspect: it
    is tried alone from then on, so that one which kills its worker takes no other shard with it.

    A failure of a device is no attempt at first, since another device may do: but as often as there
    are attempts, less one, so that a shard which breaks every device is given up, too.

    Args:
        shards: to do, in order; taken one by one.
        max_attempts: after as many failures a shard is given up.
        pause: seconds before a failed shard is tried again, four times longer after each failure.

    Attributes:
        retries: failed attempts after which a shard was put back.
        untried: how many have not been taken yet; 0 where `shards` cannot tell how many they are.
    """

    def __init__(self, shards: Iterable[Shard], max_attempts: int, pause: float = 0.0):
        self.retries = 0
        self.untried = length_hint(shards)
        self._untried = iter(shards)
        self._next = next(self._untried, None)
        self._waiting, self._suspects = _Resting(), _Resting()  # of failed ones
        self._alone: set[int] = set()
        self._attempts: Counter[int] = Counter()
        self._device_failures: Counter[int] = Counter()
        self._failures_in_a_row = 0
        self._max_attempts, self._pause = max_attempts, pause

    @property
    def empty(self) -> bool:
        """Whether no shard is left to be taken, now or later."""
        return self._next is None and not self._waiting.shards and not self._suspects.shards

    @property
    def suspects_due(self) -> int:
        """How many suspects may be tried now; 0, or more than may."""
        return self._suspects.shards if self._suspects.due else 0

    def is_suspect(self, shard: Shard) -> bool:
        """Return whether a shard must be tried alone."""
        return shard.id in self._alone

    def take(self, idle: bool, rows: int = 0, most: int = 1, unproven: bool = False) -> list[Shard]:
        """Return the next shards for a worker, to be done one after another; none if it gets none.

        Several are such as were never tried: so that one that fails takes no other with it twice.

        Args:
            idle: whether the worker has nothing under way: only such a one gets a suspect.
            rows: that several shards may have together; one may have more.
            most: shards to take.
            unproven: whether it is not known that the worker's device works: it gets those that
                failed only where there are no others, since they may be what breaks a device.
        """
        if not unproven or self._next is None or self._failures_in_a_row >= _MANY_FAILURES:
            if idle and self._suspects.due:
                return [self._suspects.pop()]
            if self._waiting.due:
                return [self._waiting.pop()]
        if self._waiting.shards and self._failures_in_a_row >= _MANY_FAILURES:
            return []
        taken: list[Shard] = []
        while self._next is not None and len(taken) < most:
            rows -= self._next.rows
            if taken and rows < 0:
                break
            taken.append(self._next)
            self._next = next(self._untried, None)
        self.untried = max(self.untried - len(taken), 0)
        return taken

    def succeeded(self, shard: Shard) -> None:
        """Take note that a shard is done."""
        self._failures_in_a_row = 0
        self._attempts.pop(shard.id, None)
        self._device_failures.pop(shard.id, None)
        self._alone.discard(shard.id)

    def failed(
        self,
        shard: Shard,
        cause: str,
        worker_died: bool,
        of_device: bool = False,
        **log_fields: str | int,
    ) -> Failed | None:
        """Put a failed shard back; return that it is given up where it was tried enough.

        Args:
            shard: which.
            cause: what happened.
            worker_died: whether the worker is no more.
            of_device: whether it was the worker's device that failed.
            log_fields: what else the log shall say, such as the worker's node.
        """
        cause = masked_text(cause)  # it may be a user's function that speaks
        self._failures_in_a_row += 1
        excused = of_device and self._device_failures[shard.id] < self._max_attempts - 1
        (self._device_failures if excused else self._attempts)[shard.id] += 1
        attempts = self._attempts[shard.id]
        log.warning(
            "shard %d failed (%s): %s",
            shard.id,
            "no attempt, its worker's device failed" if excused else f"attempt {attempts}",
            cause,
            extra=about(shard=shard.id, attempt=attempts, worker_died=worker_died, **log_fields),
        )
        if attempts >= self._max_attempts:
            return Failed(shard, attempts, cause)
        if worker_died or of_device:
            self._alone.add(shard.id)
        self._rest(shard)
        return None

    def put_back(self, shard: Shard, cause: str, **log_fields: str | int) -> None:
        """Put a shard back that its worker could not have derived: it counts as not tried.

        Args:
            shard: which.
            cause: what happened.
            log_fields: what else the log shall say.
        """
        cause = masked_text(cause)
        self._failures_in_a_row += 1
        log.info(
            "shard %d is put back: %s",
            *(shard.id, cause),
            extra=about(shard=shard.id, **log_fields),
        )
        self._rest(shard)

    def _rest(self, shard: Shard) -> None:
        failures = max(self._attempts[shard.id] - 1, 0)
        pause = min(self._pause * 4**failures, _LONGEST_PAUSE)
        resting = self._suspects if shard.id in self._alone else self._waiting
        resting.add(shard, pause)
        self.retries += 1


class _Resting:
    """Shards that failed, each with the time from which on it may be tried again."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Shard]] = []
        self._order = count()  # of two with the same time, the first that failed

    @property
    def shards(self) -> int:
        """How many there are."""
        return len(self._heap)

    @property
    def due(self) -> bool:
        """Whether one of them may be tried now."""
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

    def add(self, shard: Shard, pause: float) -> None:
        """Let a shard rest for so many seconds."""
        heapq.heappush(self._heap, (time.monotonic() + pause, next(self._order), shard))

    def pop(self) -> Shard:
        """Return the one whose time came first."""
        return heapq.heappop(self._heap)[2]
