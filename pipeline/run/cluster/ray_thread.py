"""Calls of Ray from a thread of its own, each with a deadline.

Ray's compiled code waits for ever where its processes do not answer, and lets no handler of a
signal run meanwhile. The thread that calls it does so, too; who waits for that thread does not.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from hyperdiag.messages.errors import HyperdiagError

_Result = TypeVar("_Result")
_END = object()  # of a generator


class RayHangs(HyperdiagError):
    """Ray did not come back from a call in time."""


class RayThread:
    """A thread that makes calls, one after the other.

    It lives until it is told to end: the kernel kills Ray's processes together with the thread that
    started them (PR_SET_PDEATHSIG, prctl(2)).

    Attributes:
        hangs: whether a call did not come back in time. No other call is made after it.
    """

    def __init__(self) -> None:
        self.hangs = False
        self._calls: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="ray").start()

    def call(self, function: Callable[[], _Result], seconds: float, complaint: str) -> _Result:
        """Return what a function returns, or raise what it raises; signals are handled meanwhile.

        Args:
            function: makes calls of Ray.
            seconds: to wait for it.
            complaint: what is said where that is not enough.

        Raises:
            RayHangs: with the complaint.
        """
        if self.hangs:
            raise RayHangs(complaint)
        answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._calls.put((function, answer))
        try:
            result, error = answer.get(timeout=seconds)
        except Empty:
            self.hangs = True
            raise RayHangs(complaint) from None
        if error is not None:
            raise error
        return result

    def each(self, steps: Iterator[_Result], seconds: float, complaint: str) -> Iterator[_Result]:
        """Yield what a generator yields, which has some seconds for each step.

        Raises:
            RayHangs: with the complaint.
        """
        while (result := self.call(lambda: next(steps, _END), seconds, complaint)) is not _END:
            yield result  # type: ignore[misc]

    def result_of(
        self, steps: Generator[None, None, _Result], seconds: float, complaint: str
    ) -> _Result:
        """Return what a generator returns, which has some seconds for each step.

        Raises:
            RayHangs: with the complaint.
        """
        results: list[_Result] = []

        def collected() -> Iterator[None]:
            results.append((yield from steps))

        for _ in self.each(collected(), seconds, complaint):
            pass
        return results[0]

    def end(self) -> None:
        """Let the thread end, once it has made the calls that it was asked for."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, answer = call
            try:
                answer.put((function(), None))
            except BaseException as error:  # it is raised where the call was asked for
                answer.put((None, error))
            del call, function, answer  # and what they hold
