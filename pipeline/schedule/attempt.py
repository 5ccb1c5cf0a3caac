"""The process of one run: waits for its turn, does it, writes down what became of it.

It answers to the history alone: the scheduler may die meanwhile, and another find the outcome.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.process.exit_codes import INCOMPLETE, of_process
from hyperdiag.process.file_lock import FileLock

from .history import History

LOGS, LOCKS = "logs", "locks"
_TURN_SECONDS = 0.2
# Before a job server is asked again that did not answer: until it is known that a run has ended, no
# other is begun.
_AWAY_SECONDS = 10.0
# The exit code of a process that was stopped, in order or before it could begin.
_TERMINATED = of_process(-signal.SIGTERM)


class Job(NamedTuple):
    """A run on a job server.

    Attributes:
        address: of the server.
        submission_id: of the job.
    """

    address: str
    submission_id: str


@dataclass(frozen=True)
class Order:
    """What the process of a run is told; through its standard input, which `ps` does not show.

    Attributes:
        folder: of the schedule's state.
        entry, tick, attempt: which run.
        command: of `hyperdiag`, and its arguments.
        shown: the same for people, without credentials.
        job: what the command submits; None if it does the work itself.
        log: the file that takes what is said.
        keep_logs: how many logs of the entry are kept.
    """

    folder: str
    entry: str
    tick: int
    attempt: int
    command: list[str]
    shown: str
    job: Job | None
    log: str
    keep_logs: int


class _Work:
    """A child process, stopped when this one is."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    @property
    def stopped(self) -> bool:
        """Whether this process was told to stop."""
        return self._stopped.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        self._stopped.wait(seconds)

    def do(self, command: list[str], log: Path, lock: FileLock) -> int:
        """Run a command to its end, unless stopped; return its exit code, or minus a signal."""
        if self.stopped:
            return -signal.SIGTERM
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Should this process be killed, the entry is at work as long as the child is.
                pass_fds=[lock.descriptor],
            )
        if self.stopped:  # in the meantime
            self._process.terminate()
        return self._process.wait()


def attempt(given: Order) -> int:
    """Do a run, unless it has been done; return its exit code."""
    work = _Work()
    folder = Path(given.folder)
    history = History(folder)
    lock = FileLock(folder / LOCKS / given.entry)
    while not work.stopped and not lock.take():
        work.pause(_TURN_SECONDS)
    if work.stopped:
        return _TERMINATED
    run = history.find(given.entry, given.tick, given.attempt)
    if not history.begin(run, time.time()):  # another process has done it meanwhile
        return run.code or 0
    log = Path(given.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    _prune(log.parent, given.keep_logs)
    with log.open("a", encoding="utf-8") as said:
        said.write(f"# {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {given.shown}\n")
    command = [sys.executable, "-P", "-m", "hyperdiag", *given.command]
    code = work.do(command, log, lock)
    while given.job and code and not work.stopped and not _is_over(given.job, code, log):
        work.pause(_AWAY_SECONDS)
        code = work.do(command, log, lock)  # follows the job, or submits what is not there yet
    # A job goes on, and is followed again.
    if work.stopped and code and (given.job or of_process(code) == _TERMINATED):
        history.interrupt(run, time.time())
    else:
        history.end(run, time.time(), of_process(code))
    return of_process(code)


def _is_over(job: Job, code: int, log: Path) -> bool:
    """Return whether a job has ended or was refused, where its command ended with a code.

    False while it goes on, if its server cannot be asked, or did not take it and may do so later.
    """
    # Late: it takes its time, and is seldom needed.
    from hyperdiag.submission.server import LIVE, state

    try:
        found = state(*job)
    except HyperdiagError as error:
        with log.open("a", encoding="utf-8") as said:
            said.write(f"# whether {job.submission_id} has ended is not known: {error}\n")
        return False
    if found is None or found == "SUCCEEDED":
        # Incomplete was no word of the job's then: asked again, the command tells how it ended.
        return code != INCOMPLETE
    return found not in LIVE


def _prune(folder: Path, keep: int) -> None:
    """Remove the oldest logs, so that there is room for one more."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for path in logs[: max(len(logs) - keep + 1, 0)]:
        path.unlink(missing_ok=True)


def main() -> None:
    """Do the run that standard input tells of."""
    told = json.load(sys.stdin)
    job = told.pop("job")
    sys.exit(attempt(Order(**told, job=job and Job(*job))))


if __name__ == "__main__":
    main()
