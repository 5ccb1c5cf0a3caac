"""Many small requests to a filesystem at a time."""

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

    def all_of(part: list[Item]) -> list[Result]:
        return [step(item) for item in part]

    left = iter(items)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(left, _AT_ONCE)):
            size = -(-len(some) // _TASKS)
            parts = [some[first : first + size] for first in range(0, len(some), size)]
            for results in threads.map(all_of, parts):
                yield from results
