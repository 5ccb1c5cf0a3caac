"""The process of one run: waits for its turn, does it, writes down what became of it.

It answers to the history alone: the scheduler may die meanwhile, and another find the outcome.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.run.file_lock import FileLock

from .history import History

LOGS, LOCKS = "logs", "locks"
_TURN_SECONDS = 0.2
# What a process says that was stopped, in order or before it could begin.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)


@dataclass(frozen=True)
class Order:
    """What the process of a run is told; through its standard input, which `ps` does not show.

    Attributes:
        folder: of the schedule's state.
        entry, tick, attempt: which run.
        arguments: of `hyperdiag derive`.
        shown: that command for people, without credentials.
        address: of the job server that shall do it; None: this machine.
        submit: options of the submission.
        log: the file that takes what is said.
        keep_logs: how many logs of the entry are kept.
    """

    folder: str
    entry: str
    tick: int
    attempt: int
    arguments: list[str]
    shown: str
    address: str | None
    submit: dict[str, Any]
    log: str
    keep_logs: int


class _Work:
    """A child process, stopped when this one is."""

    def __init__(self) -> None:
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True
        if self._process is not None:
            self._process.terminate()

    def do(self, command: list[str], log: Path, lock: FileLock) -> int:
        """Run a command to its end; return its exit code, negative if a signal ended it."""
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Should this process be killed, the entry is at work as long as the child is.
                pass_fds=[lock.descriptor],
            )
        if self.stopped:  # in between
            self._process.terminate()
        return self._process.wait()


def attempt(given: Order) -> int:
    """Do a run, unless it has been done; return its exit code."""
    work = _Work()
    folder = Path(given.folder)
    history = History(folder)
    lock = FileLock(folder / LOCKS / given.entry)
    while not work.stopped and not lock.take():
        time.sleep(_TURN_SECONDS)
    if work.stopped:
        return 128 + signal.SIGTERM
    run = history.find(given.entry, given.tick, given.attempt)
    if not history.begin(run, time.time()):  # another process has done it meanwhile
        return run.code or 0
    log = Path(given.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    _prune(log.parent, given.keep_logs)
    with log.open("a", encoding="utf-8") as said:
        said.write(f"# {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {given.shown}\n")
    command = [sys.executable, "-P", "-m", "jobs", "derive", *given.arguments]
    code = work.do(command, log, lock)
    if work.stopped and code in _STOPPED:
        history.interrupt(run, time.time())
    else:
        history.end(run, time.time(), code if code >= 0 else 128 - code)
    return code if code >= 0 else 128 - code


def _prune(folder: Path, keep: int) -> None:
    """Remove the oldest logs, so that there is room for one more."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for path in logs[: max(len(logs) - keep + 1, 0)]:
        path.unlink(missing_ok=True)


def main() -> None:
    """Do the run that standard input tells of."""
    sys.exit(attempt(Order(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()
