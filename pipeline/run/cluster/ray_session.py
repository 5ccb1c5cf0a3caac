"""Ray from its start to its end, as one run or one measurement uses it: nothing of it is waited for
for ever, and nothing that was started is left behind.
"""

import logging
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.process.hard_exit import require_hard_exit
from hyperdiag.process.reaper import Reaper
from hyperdiag.process.signals import Stopped
from hyperdiag.process.temporary_folder import TemporaryFolder

from .ray_thread import RayHangs, RayThread
from .ray_workarounds import LONGEST_FOLDER, hear_sigterm, no_word_of_the_thread

log = logging.getLogger("hyperdiag")

_Result = TypeVar("_Result")

# Of Ray's end. A command that a signal stops has three seconds for everything.
_END_SECONDS, _STOPPED_SECONDS = 20.0, 1.2


class RaySession:
    """Makes calls of Ray, each with a deadline, and ends it, if need be by force.

    Args:
        cluster: which Ray, and how many seconds it may take.

    Attributes:
        folder: for the files of a Ray of our own; None with `cluster=existing`.
    """

    def __init__(self, cluster: ClusterConfig):
        self._cluster = cluster
        self._folder = TemporaryFolder(LONGEST_FOLDER) if cluster.name == "local" else None
        self.folder = self._folder.path if self._folder else None
        self._reaper = Reaper(self.folder) if self.folder else None
        self._thread = RayThread()

    def start(self, function: Callable[[], _Result]) -> _Result:
        """Return what a function returns that starts Ray or joins it.

        Raises:
            RayHangs: if that takes longer than `cluster.start_seconds`.
        """
        seconds = self._cluster.start_seconds
        if self._cluster.name == "local":
            complaint = (
                f"cluster=local: Ray did not start on this machine within {seconds:g} s "
                "(cluster.start_seconds): the machine may be busy, or one of Ray's processes be "
                "stopped; give it more seconds, or take cluster=inline, which does the same work "
                "in one process, without Ray"
            )
        else:
            complaint = (
                f"cluster=existing: the Ray cluster did not take this process in within "
                f"{seconds:g} s (cluster.start_seconds): its head node may be busy or stopped, "
                "see `ray status` there"
            )
        try:
            with no_word_of_the_thread():
                return self._thread.call(function, seconds, complaint)
        finally:
            hear_sigterm()

    def each(self, steps: Iterator[_Result]) -> Iterator[_Result]:
        """Yield what a generator yields that calls Ray.

        Raises:
            RayHangs: if a step takes longer than `cluster.answer_seconds`.
        """
        return self._thread.each(steps, self._cluster.answer_seconds, self._no_answer)

    def result_of(self, steps: Generator[None, None, _Result]) -> _Result:
        """Return what a generator returns that calls Ray, and yields while it waits.

        Raises:
            RayHangs: if a step takes longer than `cluster.answer_seconds`.
        """
        return self._thread.result_of(steps, self._cluster.answer_seconds, self._no_answer)

    def close(self, let_go: Callable[[], None]) -> None:
        """End Ray in order. Where that takes too long, it is ended together with this process.

        Not before: Ray's compiled code may end this process at once when it loses its own.

        Args:
            let_go: leaves or stops Ray.
        """
        # The exception that the block around this ends with.
        stopped = isinstance(sys.exception(), Stopped)
        seconds = _STOPPED_SECONDS if stopped else _END_SECONDS
        known = self._thread.hangs
        try:
            self._thread.call(let_go, seconds, f"Ray did not end within {seconds:g} s")
        except RayHangs as error:
            require_hard_exit()
            if not known and not stopped:
                end = "its processes are killed" if self.folder else "it is left to the cluster"
                log.warning("%s: %s when this command ends", error, end)
            return
        finally:
            self._thread.end()
        if self._reaper and self._folder:
            self._reaper.end()
            self._folder.remove()

    @property
    def _no_answer(self) -> str:
        seconds = self._cluster.answer_seconds
        return (
            f"Ray has not answered for {seconds:g} s (cluster.answer_seconds): its raylet or "
            "its GCS is stopped, overloaded or cut off; what is finished is kept, and the same "
            "command goes on from there"
        )
