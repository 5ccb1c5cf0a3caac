"""The process of one run: waits for its turn, does it, writes down what became of it.

It answers to the history alone: the scheduler may die meanwhile, and another find the outcome.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.process.exit_codes import DONE, INCOMPLETE, TRY_AGAIN, of_process
from hyperdiag.process.file_lock import FileLock

from .history import History
from .run_spec import Job, RunSpec
from .state_folder import LOCKS

_TURN_SECONDS = 0.2
# Before a job server is asked again that did not answer: until it is known that a run has ended, no
# other is begun.
_AWAY_SECONDS = 10.0
# Before a run is tried again that another one on its output kept from beginning; sooner where its
# time is short.
_BUSY_SECONDS, _BUSY_SHARE = 60.0, 0.05
_BUSY = "another run is at work on the output"
# The exit code of a process that was stopped, in order or before it could begin.
_TERMINATED = of_process(-signal.SIGTERM)


class _Child:
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
        """Run a command of `hyperdiag` to its end, unless stopped.

        Return its exit code, or minus a signal.
        """
        if self.stopped:
            return -signal.SIGTERM
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                # `ps` shows everybody what stands here: no argument, which may be a credential.
                [sys.executable, "-P", "-m", "hyperdiag.jobs._scheduled"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                # Should this process be killed, the entry is at work as long as the child is.
                pass_fds=[lock.descriptor],
            )
        _tell(self._process, json.dumps(command))
        if self.stopped:  # in the meantime
            self._process.terminate()
        return self._process.wait()


def start_run(spec: RunSpec) -> subprocess.Popen[bytes]:
    """Start the process of a run, which ends in order on SIGTERM.

    In a session of its own: neither the death of this process nor a key on its terminal ends it.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hyperdiag.schedule.run_process"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    _tell(process, spec.to_json())
    return process


def _tell(process: subprocess.Popen[bytes], text: str) -> None:
    """Give a process a text on its input, which `ps` does not show."""
    assert process.stdin is not None
    # It may have been ended already, and says so by its exit code.
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(text.encode())


def do_run(spec: RunSpec) -> int:
    """Do a run, unless it has been done; return its exit code."""
    child = _Child()
    folder = Path(spec.folder)
    history = History(folder)
    lock = FileLock(folder / LOCKS / spec.entry)
    while not child.stopped and not lock.take():
        child.pause(_TURN_SECONDS)
    if child.stopped:
        return _TERMINATED
    run = history.find(spec.entry, spec.tick, spec.attempt)
    if not history.begin(run, time.time()):  # another process has done it meanwhile
        return run.code or 0
    log = Path(spec.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    _prune(log.parent, spec.keep_logs)
    _say(log, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {spec.shown}")
    began = time.monotonic()
    code = _work(spec, child, log, lock, lambda reason: history.note(run, reason))
    # A job goes on, and is followed again.
    if child.stopped and code and (spec.job or code in (_TERMINATED, TRY_AGAIN)):
        history.interrupt(run, time.time())
    else:
        reason = f"{_BUSY}, all its time" if code == TRY_AGAIN else None
        history.end(run, time.time(), code, time.monotonic() - began, reason)
    return code


def _work(
    spec: RunSpec, child: _Child, log: Path, lock: FileLock, note: Callable[[str], None]
) -> int:
    """Run the command of a run until that has come to an end; return its exit code.

    Args:
        spec: of the run.
        child: runs it.
        log: takes what it says.
        lock: that it shall hold.
        note: takes what there is to say of the run in the meantime.
    """
    deadline = time.monotonic() + spec.deadline_seconds
    busy_seconds = min(_BUSY_SECONDS, _BUSY_SHARE * spec.deadline_seconds)
    while True:
        code = of_process(child.do(spec.command, log, lock))
        if code == DONE or child.stopped:
            return code
        if code == TRY_AGAIN:
            if time.monotonic() + busy_seconds > deadline:
                return code
            note(f"{_BUSY}; it is tried again")
            _say(log, f"{_BUSY}; tried again in {busy_seconds:.0f} s")
            child.pause(busy_seconds)
        # Of a job, the command follows it again, or submits what is not there yet.
        elif spec.job and not _is_over(spec.job, code, log):
            child.pause(_AWAY_SECONDS)
        else:
            return code


def _is_over(job: Job, code: int, log: Path) -> bool:
    """Return whether a job has ended or was refused, where its command ended with a code.

    False while it goes on, if its server cannot be asked, or did not take it and may do so later.
    """
    # Late: it takes its time, and is seldom needed.
    from hyperdiag.submission.server import LIVE, state

    try:
        job_state = state(*job)
    except HyperdiagError as error:
        _say(log, f"whether {job.submission_id} has ended is not known: {error}")
        return False
    if job_state is None or job_state == "SUCCEEDED":
        # Incomplete was no word of the job's then: asked again, the command tells how it ended.
        return code != INCOMPLETE
    return job_state not in LIVE


def _say(log: Path, text: str) -> None:
    """Write a line of this process's own into a log."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"# {text}\n")


def _prune(folder: Path, keep: int) -> None:
    """Remove the oldest logs, so that there is room for one more.

    Those of a time to come, which a clock wrote that was ahead, count as the oldest.
    """
    now = time.time()
    times = {path: path.stat().st_mtime for path in folder.glob("*.log")}
    logs = sorted(times, key=lambda path: (times[path] <= now, times[path]))
    for path in logs[: max(len(logs) - keep + 1, 0)]:
        path.unlink(missing_ok=True)


def main() -> None:
    """Do the run whose specification is on standard input."""
    sys.exit(do_run(RunSpec.from_json(sys.stdin.read())))


if __name__ == "__main__":
    main()
