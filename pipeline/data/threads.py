"""Many small requests to a filesystem at a time."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 16  # requests are small and go far: many at a time, whatever the cores
_AT_ONCE = 4096  # items that are under way: a million are no million tasks
_TASKS = 4 * _THREADS


def each(step: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `step(item)` of every item, in order."""

    given_up = threading.Event()

    def all_of(part: list[Item]) -> list[Result]:
        return [] if given_up.is_set() else [step(item) for item in part]

    left = iter(items)
    threads = ThreadPoolExecutor(_THREADS)
    try:
        while some := list(islice(left, _AT_ONCE)):
            size = -(-len(some) // _TASKS)
            parts = [some[first : first + size] for first in range(0, len(some), size)]
            for results in threads.map(all_of, parts):
                yield from results
    finally:
        # A signal's exception does not wait for what is under way.
        given_up.set()
        threads.shutdown(wait=False, cancel_futures=True)
