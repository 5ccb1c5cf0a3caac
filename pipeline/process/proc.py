"""What the kernel says of processes: when one began, its memory, where it writes (proc(5))."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

_KILL_SECONDS = 0.02  # until a process that was killed is looked for again


def start_ticks(process: int) -> str:
    """Return when a process began, in the kernel's clock ticks since boot.

    Raises:
        OSError: if there is no such process.
    """
    stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()[19]  # the 22nd field


def age_seconds() -> float:
    """Return the seconds since this process began."""
    ticks = int(start_ticks(os.getpid())) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks


def peak_bytes() -> int:
    """Return the most memory that this process had at a time.

    Not from getrusage, which begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert kilobytes
    return int(kilobytes[1]) << 10


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
        time.sleep(_KILL_SECONDS)
    return []
