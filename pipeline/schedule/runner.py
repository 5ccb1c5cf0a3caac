"""One entry's runs, one at a time and in order."""

import logging
import subprocess
import threading
from collections.abc import Callable

from hyperdiag.messages.wording import duration

from .entry import Entry, utc_text
from .history import ENDED, History, Run

log = logging.getLogger("hyperdiag")

# Before a run is begun again whose process was killed, or could not do anything.
_AGAIN_SECONDS = 5.0


class Runner(threading.Thread):
    """Starts the runs of an entry that the history has waiting.

    Args:
        entry: whose; may be replaced while this is at work.
        history: where they wait.
        start: starts the process of a run.
        failed: called with what stopped this thread.
    """

    def __init__(
        self,
        entry: Entry,
        history: History,
        start: Callable[[Entry, Run], subprocess.Popen[bytes]],
        failed: Callable[[BaseException], None],
    ):
        super().__init__(name=entry.name, daemon=True)
        self.entry = entry
        self.interrupted = False
        self._history, self._start, self._failed = history, start, failed
        self._news = threading.Event()
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = self._retired = False

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._news.set()

    def retire(self) -> None:
        """Begin no further run."""
        self._retired = True
        self._news.set()

    def stop(self) -> None:
        """Begin no further run, and have the one under way stopped."""
        with self._guard:
            self._stopping = True
            if self._process is not None:
                self._process.terminate()
        self.retire()

    def run(self) -> None:
        """Work until stopped."""
        try:
            while not self._retired:
                self._news.clear()
                run = self._history.next(self.entry.name)
                if run is None:
                    self._news.wait()
                else:
                    self._serve(run)
        except Exception as error:
            self._failed(error)

    def _serve(self, run: Run) -> None:
        name = f"{run.entry} {utc_text(run.moment)}"
        with self._guard:
            if self._stopping:
                return
            process = self._process = self._start(self.entry, run)
        log.info("%s: %s", name, "begun" if run.started is None else "gone on with")
        process.wait()
        with self._guard:
            self._process = None
        run = self._history.find(run.entry, run.tick, run.attempt)
        if run.state == ENDED:
            reason = f" ({run.reason})" if run.reason else ""
            log.info("%s: exit code %d after %s%s", name, run.code, took(run), reason)
        elif self._stopping:
            self.interrupted = True
        elif run.unfinished:
            log.warning("%s: its process died (%d); it is begun again", name, process.returncode)
            self._news.wait(_AGAIN_SECONDS)


def took(run: Run) -> str:
    """Return how long the last process of a run worked, for people."""
    return duration(seconds(run) or 0)


def seconds(run: Run) -> float | None:
    """Return how long the last process of a run worked; None before its end."""
    return None if run.started is None or run.ended is None else run.ended - run.started
