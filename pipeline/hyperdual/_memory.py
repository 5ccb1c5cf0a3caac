"""What a compiled call will hold in memory, and what there is of it."""

import contextlib
import functools
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

# Below this a call is let through without a look at what is free.
_SMALL_BYTES = 1 << 28
# Of an array whose freeing raises glibc's thresholds as far as it lets them rise: 32 MB with all.
_LARGEST_KEPT_BYTES = (1 << 25) - (1 << 16)
_ROOT = Path("/")


@functools.cache
def keep_freed_pages() -> None:
    """Let the C library keep the memory of freed results for the next ones.

    glibc gives the system back what is freed of arrays that are larger than any freed before
    (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD). The next call's results are fresh pages
    then, which can take longer to come than the results to be computed. Here a large array is freed
    that nothing was written to, and that took no memory. With other C libraries this does nothing.
    """
    with contextlib.suppress(MemoryError):  # of a process that may not have so many addresses
        np.empty(_LARGEST_KEPT_BYTES, np.uint8)


def array_bytes(arrays: Any) -> int:
    """Return the bytes of a tree of arrays, or of what stands for them, by their shapes."""
    return sum(
        math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in jax.tree.leaves(arrays)
    )


def needed_bytes(compiled: jax.stages.Compiled) -> int:
    """Return the bytes that a call takes beyond its arguments, by XLA's own account.

    0 where the backend keeps none.
    """
    account = compiled.memory_analysis()
    if account is None:
        return 0
    return account.output_size_in_bytes + account.temp_size_in_bytes


def is_small(needed: int) -> bool:
    """Tell whether a call that takes so many bytes is let through in any case."""
    return needed <= _SMALL_BYTES


def lacking(needed: int) -> str | None:
    """Return what to say if so many bytes are more than what is free; None if they are not."""
    if is_small(needed) or needed <= (free := free_bytes()):
        return None
    return f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def free_bytes() -> int:
    """Return the bytes that are free where JAX computes.

    On a CPU that is what the machine has available, or the container's limit leaves, whichever is
    less; where neither is known it is more than any program needs.
    """
    device = jax.devices()[0]
    if device.platform != "cpu":
        account = device.memory_stats() or {}
        limit = account.get("bytes_limit")
        return 1 << 62 if limit is None else limit - account.get("bytes_in_use", 0)
    return min([1 << 62, *_available(_ROOT), *_left_by_groups(_ROOT)])


def _available(root: Path) -> list[int]:
    """What Linux says a program may take without swapping (proc_meminfo(5))."""
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return [int(line.split()[1]) * 1024]
    return []


def _left_by_groups(root: Path) -> list[int]:
    """What the limits of this process's control groups leave (cgroups(7), versions 1 and 2).

    Cached pages of files count as free: they make way.
    """
    top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
    left = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        elif controllers:
            continue
        folder = top / path.lstrip("/")
        # The group itself, those that it is in, and the root, a container's own.
        for group in (folder, *folder.parents):
            limit, usage = _read(group / names[0]).strip(), _read(group / names[1]).strip()
            if limit.isdigit() and usage.isdigit():
                caches = dict(line.split() for line in _read(group / "memory.stat").splitlines())
                left.append(max(int(limit) - int(usage) + int(caches.get(names[2], 0)), 0))
            if group == top:
                break
    return left


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # not Linux, or not shown here
        return ""
