"""What this process may take of its machine: cores and memory, as its container limits them.

A container or a batch job is a control group (cgroups(7)); its limits, and those of the groups that
it is in, are files. https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max, memory.max),
https://docs.kernel.org/scheduler/sched-bwc.html (cpu.cfs_quota_us and cpu.cfs_period_us of
version 1), https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (memory.limit_in_bytes).
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_ROOT = Path("/")


def cores(root: Path = _ROOT) -> int:
    """Return how many cores this process may keep busy, at least 1.

    The cores that it may run on (`taskset`, a cpuset), or the processor time that its container has
    (`docker run --cpus`, a limit of Kubernetes), whichever is less; a part of a core does not
    count, as Ray has it.

    Args:
        root: the folder that /proc and /sys are in.
    """
    return max(1, int(min(len(os.sched_getaffinity(0)), _core_quota(root))))


def owns_cores(root: Path = _ROOT) -> bool:
    """Return whether the cores that this process may run on are its own, as far as it can tell.

    They are not where a container has a share of the processor time of more cores than it may keep
    busy: then its neighbours may run on every one of them.
    """
    return _core_quota(root) >= len(os.sched_getaffinity(0))


def memory_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of memory that this process and those beside it may take together.

    Args:
        root: the folder that /proc and /sys are in.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in _groups(root, "memory"):
        # "max" is no limit; version 1 has a number beyond all memory there.
        for text in (_read(folder / "memory.max"), _read(folder / "memory.limit_in_bytes")):
            if text.isdigit():
                limits.append(int(text))
    return min(limits)


def _core_quota(root: Path) -> float:
    """Return the processor time that the control groups allow, in cores; infinite if they do."""
    quotas = [float("inf")]
    for folder in _groups(root, "cpu"):
        pairs = (
            _read(folder / "cpu.max").split(),
            [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")],
        )
        for pair in pairs:
            # "max", or -1 in version 1, is no limit.
            if len(pair) == 2 and pair[0].isdigit() and pair[1].isdigit() and int(pair[1]):
                quotas.append(int(pair[0]) / int(pair[1]))
    return min(quotas)


class _Mount(NamedTuple):
    """Where control groups are to be seen.

    Attributes:
        top: the group that is seen at the place.
        place: a folder.
        controllers: what these groups limit; None of version 2, where the files say it.
    """

    top: str
    place: str
    controllers: tuple[str, ...] | None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, from the outermost."""
    own: dict[str, str] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)  # version 2 names no controllers
        own |= dict.fromkeys(controllers.split(","), path)
    for mount in _mounts(root):
        if mount.controllers is not None and controller not in mount.controllers:
            continue
        name = "" if mount.controllers is None else controller
        if name not in own:
            continue
        folder = root / mount.place.lstrip("/")
        yield folder
        group = PurePosixPath(own[name])
        # A container often sees its own group at the place, and is told its path on the machine.
        if ".." not in group.parts and group.is_relative_to(mount.top):
            for part in group.relative_to(mount.top).parts:
                folder /= part
                yield folder


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield where control groups are mounted (proc_pid_mountinfo(5))."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        fields, _, tail = line.partition(" - ")
        top, place = fields.split()[3:5]
        kind, _, options = tail.split(" ", 2)
        if kind == "cgroup2":
            yield _Mount(top, place, None)
        elif kind == "cgroup":
            yield _Mount(top, place, tuple(options.split(",")))


def _read(path: Path) -> str:
    """Return what a file holds, without blanks around it; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
