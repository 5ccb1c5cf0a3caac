"""What the kernel says of a process: when it began, how much memory it took (proc(5))."""

import os
import re
import time
from pathlib import Path


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
