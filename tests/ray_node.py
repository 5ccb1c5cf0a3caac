"""A Ray node in processes of its own, which can be killed whole."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_START_SECONDS = 60.0
_STARTS = 3
# Runs a command to which a folder, given first, is empty.
_HIDING = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"')


def processes(session: int) -> list[psutil.Process]:
    """Return the living processes of a session, whoever their parent is by now.

    Ray's workers and agents stay in the session of the process that started it; their
    environments are no mark of theirs, since they write their titles over them. The leader must
    not be reaped before all is done: its number could go to somebody else's session.
    """
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                process = psutil.Process(int(folder.name))
                if os.getsid(process.pid) == session and process.status() != "zombie":
                    found.append(process)
    return sorted(found, key=lambda process: process.pid)


def kill_all(session: int) -> None:
    """SIGKILL every process of a session, and those that they start meanwhile."""
    deadline = time.monotonic() + 20
    while alive := processes(session):
        assert time.monotonic() < deadline, f"cannot kill {alive}"
        for process in alive:
            send(process, signal.SIGKILL)
        time.sleep(0.02)


def exit_code(leader: "subprocess.Popen[bytes]") -> int | None:
    """Return how a process ended, or None, without reaping it."""
    ended = os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return whether there was still somebody to get it."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


class Node:
    """A `ray start` process and all that it starts.

    Args:
        folder: for its files, new.
        arguments: of `ray start`.
        hidden: a folder that is an empty one to the node's processes (Linux, root).
        environment: more of it, for the node's processes.
    """

    def __init__(
        self, folder: Path, *arguments: str, hidden: Path | None = None, **environment: str
    ):
        folder.mkdir()
        self.folder = folder
        self._log = folder / "start.log"
        with self._log.open("wb") as log:
            self.leader = subprocess.Popen(
                [
                    *(() if hidden is None else (*_HIDING, str(hidden))),
                    *(Path(sys.executable).with_name("ray"), "start", "--block", *arguments),
                    # The default range is the same on every node; zero lets the kernel choose.
                    *("--min-worker-port=0", "--max-worker-port=0"),
                    *("--object-store-memory=80000000", f"--temp-dir={folder}"),
                    # Our drivers do not print what workers say.
                    *("--disable-usage-stats", "--include-log-monitor=false"),
                ],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                # What holds a node together; and Ctrl-C is for the tests, which end it in order.
                start_new_session=True,
            )
        self.session = self.leader.pid

    def is_up(self) -> bool:
        """Whether it has registered with the cluster, and lives."""
        return self.is_alive() and "Ray runtime started" in self.log()

    def is_alive(self) -> bool:
        """Whether it has not ended by itself."""
        return exit_code(self.leader) is None

    def log(self) -> str:
        """Return what it has printed."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL its every process: the raylet first, so that nothing is tidied up."""
        for process in processes(self.session):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "raylet":
                    process.kill()
        kill_all(self.session)
        self.leader.wait(10)


def started(start: Callable[[int], Node]) -> Node:
    """Return a node that is up, begun anew where one ends or takes too long.

    A port that was free when it was chosen may be somebody's when the node asks for it, and Ray
    gives its own processes fixed times, which a busy machine exceeds.

    Args:
        start: begins a node, given the number of the attempt from 0.

    Raises:
        AssertionError: no attempt succeeds. With what the last one printed.
    """
    for attempt in range(_STARTS):
        node = start(attempt)
        deadline = time.monotonic() + _START_SECONDS
        while node.is_alive() and time.monotonic() < deadline:
            if node.is_up():
                return node
            time.sleep(0.1)
        node.kill()
    raise AssertionError(f"a Ray node does not start:\n{node.log()[-4000:]}")


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Return when a condition holds; fail with a complaint if it takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)
