"""Answers of calls to Ray's actors, as they come.

`ray.wait` looks at every call that is open, each time: with 9,000 of them 4 ms, for one answer.
Here Ray itself puts each answer into a queue, whatever else is open.
"""

from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

Call = TypeVar("Call")


class Answers(Generic[Call]):
    """Calls that are open, and the queue of those that are answered."""

    def __init__(self) -> None:
        # Of the standard library's queues the one that a thread of Ray's may put into at any time.
        self._queue: SimpleQueue[tuple[Call, Future[Any]]] = SimpleQueue()

    def expect(self, ref: Any, call: Call) -> None:
        """Let the answer of a call come into the queue.

        Args:
            ref: that Ray gave for the call.
            call: what is to be returned with the answer.
        """
        ref.future().add_done_callback(lambda answer: self._queue.put((call, answer)))

    def wait(self, seconds: float) -> list[tuple[Call, "Future[Any]"]]:
        """Return the calls that are answered, each with its answer; empty if none is in time.

        Args:
            seconds: to wait for the first of them.
        """
        try:
            answered = [self._queue.get(timeout=seconds)]
        except Empty:
            return []
        while True:
            try:
                answered.append(self._queue.get_nowait())
            except Empty:
                return answered
