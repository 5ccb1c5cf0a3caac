"""A real Ray cluster of one node, in processes of its own."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil


class Head(NamedTuple):
    """Where it is: the address that drivers join, and the folder that Ray writes in."""

    address: str
    folder: Path


@contextmanager
def ray_head(*options: str, **environment: str) -> Iterator[Head]:
    """Run a head of two cores while the block lasts.

    Args:
        options: more of `ray start`'s.
        environment: more variables for it.
    """
    folder = tempfile.mkdtemp(prefix="hd-test-")
    port = free_port()
    head = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
            *("--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", *client_port()),
            *("--object-store-memory=80000000", f"--temp-dir={folder}", "--disable-usage-stats"),
            *(options or ("--include-dashboard=false",)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert head.poll() is None, "ray start failed"
            assert time.monotonic() < deadline, "ray start takes too long"
            time.sleep(0.2)
        yield Head(f"127.0.0.1:{port}", Path(folder))
    finally:
        processes = [head, *psutil.Process(head.pid).children(recursive=True)]
        head.terminate()
        _, alive = psutil.wait_procs(processes[1:], timeout=10)
        for process in (*alive, head):
            process.kill()
        head.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def client_port() -> list[str]:
    """Return the arguments that keep a head's client server off the port that all others take."""
    # Where Ray's client is installed its server starts, on a port that is the same for all.
    return [f"--ray-client-server-port={free_port()}"] if find_spec("grpc") else []


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


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
