"""A real Ray cluster of one node, in processes of its own."""

import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.ray_node import Node, started

# With which the workers of a head find networks of the tests, though nobody submits them.
FINDS_TESTS = {"PYTHONPATH": os.pathsep.join(sys.path)}
NO_AUTOSCALER = "--no-monitor"  # an option of a head whose nodes the test starts itself


class Head(NamedTuple):
    """Where it is: the address that drivers join, and the folder that Ray writes in."""

    address: str
    folder: Path


@contextmanager
def ray_head(*options: str, **environment: str) -> Iterator[Head]:
    """Run a head of two cores while the block lasts.

    Args:
        options: more of `ray start`'s.
        environment: more of it, for the head and its workers.
    """
    place = Path(tempfile.mkdtemp(prefix="hd-test-"))  # short, since it holds sockets
    options = options or ("--include-dashboard=false",)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)

        def start(attempt: int) -> Node:
            nonlocal port
            port = free_port()
            folder = place / f"head{attempt}"
            return start_head(folder, port, 2, NO_AUTOSCALER, *options, **environment)

        port = 0
        head = started(start)
        stack.callback(head.kill)
        yield Head(f"127.0.0.1:{port}", head.folder)


def start_head(folder: Path, port: int, cpus: int, *options: str, **environment: str) -> Node:
    """Start a head on loopback, without waiting for it.

    Args:
        folder: for its files, new.
        port: that drivers and nodes join it at.
        cpus: for workers.
        options: more of `ray start`'s.
        environment: more of it.
    """
    # Where Ray's client is installed its server starts, on a port that is the same for all.
    client = [f"--ray-client-server-port={free_port()}"] if find_spec("grpc") else []
    return Node(
        folder,
        *("--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--num-cpus={cpus}"),
        *(*client, *options),
        **environment,
    )


def job_server(port: int) -> list[str]:
    """Return the options that give a head a job server at a port of loopback."""
    return [
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"),
        # Else the same for all clusters of a machine, of which the second takes no job.
        f"--dashboard-agent-listen-port={free_port()}",
    ]


def free_port(neighbours: int = 0) -> int:
    """Return a port that nobody listens on, nor on so many after it.

    Below the range that the system hands out from: of that, Ray and every connection take theirs.
    """
    dice = random.SystemRandom()  # tests that run side by side may share a seed
    while True:
        first = dice.randint(20_000, 30_000)
        with ExitStack() as probes:
            try:
                for port in range(first, first + neighbours + 1):
                    probe = probes.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("", port))
            except OSError:
                continue
            return first
