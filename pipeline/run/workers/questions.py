"""When a worker is asked how far it is: for people, and to tell a slow one from one that hangs.

Each question costs the driver as much as a shard does, so that many workers are asked seldom.
"""

import heapq
from collections.abc import Sequence

from .worker_handle import WorkerHandle

_SECONDS = 0.5  # between two questions to a worker, at least
_PER_SECOND = 100  # to all workers together, at most
_AT_ONCE = 50


def seconds_between(workers: int) -> float:
    """Return after how many seconds each of so many workers is asked again."""
    return max(_SECONDS, workers / _PER_SECOND)


def to_ask(handles: Sequence[WorkerHandle], now: float) -> list[WorkerHandle]:
    """Return workers that are to be asked now: such as have had a shard under way for a while.

    They count as asked. To be called about twice a second.

    Args:
        handles: of all workers.
        now: on the monotonic clock.
    """
    before = now - seconds_between(len(handles))
    due = [
        handle
        for handle in handles
        if handle.calls
        and handle.calls[0].began <= before
        and handle.asked <= before
        and not handle.answering
    ]
    asked = heapq.nsmallest(_AT_ONCE, due, key=lambda handle: handle.asked)
    for handle in asked:
        handle.asked, handle.answering = now, True
    return asked
