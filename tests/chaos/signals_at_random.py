"""A run that gets a signal at a random moment, what it must end with, and the run that goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from hyperdiag.process.reaper import writing_into
from tests.ray_node import kill_all, processes

_END_SECONDS = 6.0  # a busy machine included; Ray grants three


def strike(command: list[str], folder: Path, seed: int, longest: float) -> str:
    """Run a command that gets a signal at a random moment; return what became of it.

    Args:
        command: after `hyperdiag`.
        folder: to run in, where its temporary files go, too.
        seed: of the moment, and of the signal.
        longest: seconds from the start of the process within which the moment is.

    Raises:
        AssertionError: if it ends in another way than a signal's, late, or leaves a process.
    """
    rng = random.Random(seed)
    moment = rng.uniform(0, longest)
    number = rng.choice([signal.SIGTERM, signal.SIGINT])
    driver, said = started(command, folder)
    try:
        time.sleep(moment)
        began = time.monotonic()
        driver.send_signal(number)
        code = driver.wait(60)
        seconds = time.monotonic() - began
        text = said.read_text(errors="replace")
        when = (
            f"seed {seed}: {number.name} at {moment:.2f} s: exit code {code} after {seconds:.1f} s"
        )
        # Before Python has set a handler up, the kernel ends the process; Python's own for SIGINT
        # raises KeyboardInterrupt, which ends it with 1 where Python itself has not begun.
        unborn = code == 1 and text.startswith("Could not import runpy module")
        assert code in {0, 128 + number, -number} or unborn, f"{when}\n{text}"
        assert seconds < _END_SECONDS or code == 0, f"{when}\n{text}"
        assert "Traceback" not in text or code == -number or unborn, f"{when}\n{text}"
        _check_nothing_left(driver.pid, folder, when)
        return when
    finally:
        kill_all(driver.pid)


def resume(command: list[str], folder: Path) -> None:
    """Give the command once more; it must end well."""
    driver, said = started(command, folder)
    try:
        assert driver.wait(120) == 0, said.read_text(errors="replace")
    finally:
        kill_all(driver.pid)


def started(command: list[str], folder: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    """Start the command; return its process and the file that it prints into."""
    said = folder / "said.log"
    with said.open("wb") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", "hyperdiag", *command],
            cwd=folder,
            env={**os.environ, "TMPDIR": os.fspath(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return driver, said


def _check_nothing_left(session: int, folder: Path, when: str) -> None:
    # What was killed by the kernel together with its parent may take an instant.
    deadline = time.monotonic() + 5
    while left := [each for each in processes(session) if each.pid != session]:
        assert time.monotonic() < deadline, f"{when}: left behind {left}"
        time.sleep(0.05)
    while left_writing := writing_into(os.fspath(folder)):
        assert time.monotonic() < deadline, f"{when}: left behind {left_writing}"
        time.sleep(0.05)
