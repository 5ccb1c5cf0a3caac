"""A Ray cluster of several nodes on this machine, any of which can be killed whole."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from tests.ray_head import NO_AUTOSCALER, free_port, job_server, start_head
from tests.ray_node import Node, processes, started, wait_for

# A lost node is noticed within three seconds; Ray's own patience is for machines far apart.
_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 5,
}


def workers(session: int) -> list[psutil.Process]:
    """Return those that are workers of the pool."""
    found = []
    for process in processes(session):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("ray::WorkerActor" in word for word in process.cmdline()):
                found.append(process)
    return found


class Cluster:
    """A head without CPUs and nodes of one CPU each, all of them real `ray start` processes.

    Args:
        size: how many nodes, besides the head. The first has a resource "n1", and so on.
        with_server: whether the head has a job server, at `server`.
    """

    def __init__(self, size: int = 2, with_server: bool = False):
        self.folder = Path(tempfile.mkdtemp(prefix="hdc-"))  # short, since it holds sockets
        self.nodes: list[Node] = []  # the head not among them
        self._size = size
        self._started = 0
        self._with_server = with_server
        self._head = started(self._start_head)
        try:
            self.restore()
        except BaseException:
            self.close()
            raise

    def _start_head(self, attempt: int) -> Node:
        port, server = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.server = f"http://127.0.0.1:{server}"
        dashboard = job_server(server) if self._with_server else ["--include-dashboard=false"]
        return start_head(
            self.folder / f"head{attempt}",
            *(port, 0, NO_AUTOSCALER, *dashboard),
            f"--system-config={json.dumps(_HEALTH_CHECKS)}",
        )

    def add_node(self, hidden: Path | None = None, **environment: str) -> None:
        """Start another node, without waiting for it; perhaps with what `Node` has of its own."""
        self._started += 1
        node = Node(
            self.folder / f"n{self._started}",
            # An address of its own, as nodes have.
            f"--node-ip-address=127.0.{os.getpid() % 250}.{1 + self._started % 250}",
            *(f"--address={self.address}", "--num-cpus=1"),
            f'--resources={{"n{self._started}": 1}}',
            hidden=hidden,
            **environment,
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
