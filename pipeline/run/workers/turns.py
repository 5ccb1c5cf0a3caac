"""Who computes next, of the shards that a worker has under way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count


class Turns:
    """Turns on a device; of the shards that wait for one, that which began first has the next.

    So shards end one after another. Were they to take turns evenly, all would end at about the same
    time, and at the end of a run a worker would have several to do while another has none.

    Args:
        most: batches that may be on the device at once.
    """

    def __init__(self, most: int):
        self._free = most
        self._waiting: list[tuple[int, int]] = []
        self._changed = threading.Condition()
        self._tickets = count()

    @contextmanager
    def turn(self, shard: int) -> Iterator[None]:
        """Wait for a turn, and have it as long as the block lasts.

        Args:
            shard: the place of the shard among those that this worker began.
        """
        with self._changed:
            mine = shard, next(self._tickets)
            heappush(self._waiting, mine)
            self._changed.wait_for(lambda: self._free > 0 and self._waiting[0] == mine)
            heappop(self._waiting)
            self._free -= 1
            self._changed.notify_all()  # another may be free
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()
