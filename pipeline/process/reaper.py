"""Processes that belong to a folder, and their end: by this process, or once this one is no more.

This file is also a program of its own, see `Reaper`: it imports nothing but Python's own modules.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_AGAIN_SECONDS = 0.02  # until a process that was killed is looked for again
_MOST_SECONDS = 60.0  # that a busy kernel may take for the last of them


def writing_into(folder: str) -> list[int]:
    """Return this user's living processes, but for this one, that write files below a folder.

    That says who belongs together even where parents are dead, and where a process has written its
    title over its command line and its environment, as Ray's do.
    """
    below, processes = os.path.realpath(folder) + "/", []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # Another user's, dead by now, or a zombie, which has no files any more.
            with contextlib.suppress(OSError):
                if any(_is_writer(entry, file.name, below) for file in (entry / "fd").iterdir()):
                    processes.append(int(entry.name))
    return processes


def _is_writer(process: Path, descriptor: str, below: str) -> bool:
    try:
        if not str((process / "fd" / descriptor).readlink()).startswith(below):
            return False
        info = (process / "fdinfo" / descriptor).read_text(encoding="utf-8")
    except OSError:  # closed by now
        return False
    flags = re.search(r"flags:\s+([0-7]+)", info)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def kill_writing_into(folder: str, seconds: float) -> list[int]:
    """Kill them, and what they start meanwhile; return those that are alive after some seconds."""
    deadline = time.monotonic() + seconds
    while processes := writing_into(folder):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return processes
        time.sleep(_AGAIN_SECONDS)
    return []


class Reaper:
    """A small process that outlives this one, kills what belongs to a folder, and removes that.

    So nothing is left where this process is killed, or ends while a library's threads hang, and
    where what it started is stopped, and heeds nobody.

    Args:
        folder: see `writing_into`.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, folder],
            stdin=subprocess.PIPE,  # which the kernel closes when this process ends in any way
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # signals to a terminal's group are not for it
        )

    def end(self) -> None:
        """Kill what belongs to the folder now, but for this process; the folder stays."""
        kill_writing_into(self._folder, _MOST_SECONDS)
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def _reap(folder: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()  # until its other end, the process that started this one, is no more
    kill_writing_into(folder, _MOST_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _reap(sys.argv[1])
