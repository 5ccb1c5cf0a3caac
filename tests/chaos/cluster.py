"""A Ray cluster of several nodes on this machine, any of which can be killed whole."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.ray_head import client_port, free_port

# A lost node is noticed within three seconds; Ray's own patience is for machines far apart.
_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 5,
}
_START_SECONDS = 60.0


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


def workers(session: int) -> list[psutil.Process]:
    """Return those that are workers of the pool."""
    found = []
    for process in processes(session):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("ray::WorkerActor" in word for word in process.cmdline()):
                found.append(process)
    return found


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
    """

    def __init__(self, folder: Path, *arguments: str):
        folder.mkdir()
        self._log = folder / "start.log"
        with self._log.open("wb") as log:
            self.leader = subprocess.Popen(
                [
                    *(Path(sys.executable).with_name("ray"), "start", "--block", *arguments),
                    # The default range is the same on every node; zero lets the kernel choose.
                    *("--min-worker-port=0", "--max-worker-port=0"),
                    *("--object-store-memory=80000000", f"--temp-dir={folder}"),
                    "--disable-usage-stats",
                ],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                # What holds a node together; and Ctrl-C is for the tests, which end it in order.
                start_new_session=True,
            )
        self.session = self.leader.pid

    def is_up(self) -> bool:
        """Whether it has registered with the cluster, and lives."""
        return self.is_alive() and "Ray runtime started" in self._log.read_text()

    def is_alive(self) -> bool:
        """Whether it has not ended by itself."""
        return exit_code(self.leader) is None

    def kill(self) -> None:
        """SIGKILL its every process: the raylet first, so that nothing is tidied up."""
        for process in processes(self.session):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "raylet":
                    process.kill()
        kill_all(self.session)
        self.leader.wait(10)


class Cluster:
    """A head without CPUs and nodes of one CPU each, all of them real `ray start` processes.

    Args:
        size: how many nodes, besides the head. The first has a resource "n1", and so on.
        job_server: whether the head has one, at `server`.
    """

    def __init__(self, size: int = 2, job_server: bool = False):
        self.folder = Path(tempfile.mkdtemp(prefix="hdc-"))  # short, since it holds sockets
        self.address = f"127.0.0.1:{free_port()}"
        self.nodes: list[Node] = []  # the head not among them
        self._size = size
        self._started = 0
        port = self.address.rpartition(":")[2]
        dashboard = ["--include-dashboard=false"]
        if job_server:
            self.server = f"http://127.0.0.1:{free_port()}"
            dashboard = [
                *("--include-dashboard=true", "--dashboard-host=127.0.0.1"),
                f"--dashboard-port={self.server.rpartition(':')[2]}",
                f"--dashboard-agent-listen-port={free_port()}",
            ]
        self._head = Node(
            self.folder / "head",
            *("--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=0"),
            *(*dashboard, *client_port()),
            f"--system-config={json.dumps(_HEALTH_CHECKS)}",
        )
        try:
            wait_for(self._head.is_up, "the head does not start")
            self.restore()
        except BaseException:
            self.close()
            raise

    def add_node(self) -> None:
        """Start another node, without waiting for it."""
        self._started += 1
        node = Node(
            self.folder / f"n{self._started}",
            # An address of its own, as nodes have.
            f"--node-ip-address=127.0.{os.getpid() % 250}.{1 + self._started % 250}",
            *(f"--address={self.address}", "--num-cpus=1"),
            f'--resources={{"n{self._started}": 1}}',
        )
        self.nodes.append(node)

    def kill_node(self, node: Node) -> None:
        """Lose a node."""
        self.nodes.remove(node)
        node.kill()

    def restore(self) -> None:
        """Bring the nodes back to their number, and wait until all have registered."""
        for node in [node for node in self.nodes if not node.is_alive()]:
            self.kill_node(node)
        while len(self.nodes) < self._size:
            self.add_node()
        wait_for(lambda: all(node.is_up() for node in self.nodes), "a node does not start")

    def wait_for_a_node(self) -> None:
        """Wait until a node has registered."""
        wait_for(lambda: any(node.is_up() for node in self.nodes), "no node starts")

    def close(self) -> None:
        """Kill everything and remove its folder."""
        for node in (*self.nodes, self._head):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Return when a condition holds; fail with a complaint if it takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)
