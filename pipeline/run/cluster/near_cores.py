"""Which cores are near a GPU, by what Linux and NVIDIA's driver say in files; which a worker gets.

A GPU is behind one socket of its machine, or one part of it: what other cores copy to it and from
it goes through the link between them. https://docs.kernel.org/admin-guide/abi-testing.html
(sysfs-bus-pci, local_cpulist), and "The /proc interface" in the README of NVIDIA's Linux driver.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/")


class _Gpu(NamedTuple):
    """A GPU of this machine: its address on the PCI bus, and the name that CUDA knows it by."""

    bus: str
    uuid: str


def cores_near(devices: str, root: Path = _ROOT) -> frozenset[int]:
    """Return the numbers of the cores that are near some GPUs; none where nothing is known of them.

    Args:
        devices: the GPUs as CUDA_VISIBLE_DEVICES names them: numbers, in the order of the PCI bus,
            or UUIDs, of which a beginning is enough.
        root: the folder that /dev, /proc and /sys are in.
    """
    cores: set[int] = set()
    gpus = _gpus(root)
    for device in filter(None, devices.split(",")):
        if device.isdigit():
            named = gpus[int(device) : int(device) + 1]
        else:
            named = [gpu for gpu in gpus if gpu.uuid.startswith(device)]
        for gpu in named:
            cores |= listed_cores(_read(root / "sys/bus/pci/devices" / gpu.bus / "local_cpulist"))
    return frozenset(cores)


def _gpus(root: Path) -> list[_Gpu]:
    """Return the GPUs that this process may use, by their addresses.

    A container sees its machine's files, but has the devices of its own GPUs alone.
    """
    gpus = []
    for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        fields = {}
        for line in _read(file).splitlines():
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
        if (root / f"dev/nvidia{fields.get('Device Minor', '')}").exists():
            gpus.append(_Gpu(file.parent.name.lower(), fields.get("GPU UUID", "")))
    return gpus


def listed_cores(text: str) -> set[int]:
    """Return the numbers in a list as Linux writes it, such as `0-3,8,10-11`."""
    cores: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def choose_cores(
    allowed: Collection[int],
    near: Collection[int],
    taken: Iterable[Collection[int]],
    number: int,
) -> tuple[int, ...]:
    """Return the cores that a worker shall keep to: not those of others, near, the first ones.

    They are all of them where there are no more. Where others have them all, those that fewest
    have.

    Args:
        allowed: numbers of the cores that workers may run on.
        near: of these, and perhaps of others, those near what the worker needs.
        taken: the cores of each other worker.
        number: how many cores it shall have.
    """
    owners = dict.fromkeys(allowed, 0)
    for cores in taken:
        for core in cores:
            owners[core] = owners.get(core, 0) + 1
    order = sorted(allowed, key=lambda core: (owners[core], core not in near, core))
    return tuple(sorted(order[:number]))


def keep_to(cores: Sequence[int]) -> None:
    """Let all threads of this process, and those that they start, run on some cores alone."""
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), cores)


def _read(path: Path) -> str:
    """Return what a file holds; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
