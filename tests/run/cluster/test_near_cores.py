"""Which cores are near a GPU, and which a worker gets, on machines made of files."""

import itertools
import os
import subprocess
import sys

import pytest

from hyperdiag.run.cluster.near_cores import choose_cores, cores_near, listed_cores

FIELDS = """Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t {irq}
GPU UUID: \t {uuid}
Video BIOS: \t 96.00.74.00.01
Bus Type: \t PCIe
Bus Location: \t {bus}
Device Minor: \t {minor}
GPU Excluded:\t No
"""
# Two sockets of eight cores, two GPUs behind each. Minor numbers are not in the order of the bus.
GPUS = {
    "0000:1b:00.0": ("GPU-11aa-0", 1, "0-3,8-11"),
    "0000:43:00.0": ("GPU-11bb-1", 0, "0-3,8-11"),
    "0000:9d:00.0": ("GPU-22cc-2", 2, "4-7,12-15"),
    "0001:0d:00.0": ("GPU-22dd-3", 3, "4-7,12-15"),
}
FIRST, SECOND = {0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}


@pytest.fixture
def machine(tmp_path):
    """Write what Linux and the driver say of these GPUs; those of some minor numbers are hidden."""

    def write(hidden=()):
        for bus, (uuid, minor, cores) in GPUS.items():
            driver = tmp_path / "proc/driver/nvidia/gpus" / bus
            device = tmp_path / "sys/bus/pci/devices" / bus
            for folder in (driver, device, tmp_path / "dev"):
                folder.mkdir(parents=True, exist_ok=True)
            text = FIELDS.format(irq=100 + minor, uuid=uuid, bus=bus, minor=minor)
            (driver / "information").write_text(text)
            (device / "local_cpulist").write_text(f"{cores}\n")
            if minor not in hidden:
                (tmp_path / f"dev/nvidia{minor}").touch()
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("devices", "cores"),
    [
        *(("0", FIRST), ("1", FIRST), ("2", SECOND), ("3", SECOND)),
        *(("1,2", FIRST | SECOND), ("2,3", SECOND)),
        *(("GPU-22cc-2", SECOND), ("GPU-11", FIRST), ("GPU-11aa-0,GPU-22dd-3", FIRST | SECOND)),
        *(("", set()), ("7", set()), ("MIG-5c2f", set()), ("-1", set())),
    ],
)
def test_cores_near_gpus_are_those_of_their_sockets(machine, devices, cores):
    assert cores_near(devices, machine()) == cores


def test_container_counts_the_gpus_that_it_has_devices_of(machine):
    root = machine(hidden=(0, 1))  # those behind the first socket
    assert cores_near("0", root) == SECOND
    assert cores_near("2", root) == set()


def test_machine_that_says_nothing_has_no_near_cores(machine, tmp_path):
    assert cores_near("0", tmp_path) == set()
    root = machine()
    (root / "sys/bus/pci/devices/0000:1b:00.0/local_cpulist").unlink()
    assert cores_near("0", root) == set()


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-2,8,10-11\n", {0, 1, 2, 8, 10, 11}), ("5", {5}), ("", set()), ("0-63", {*range(64)})],
)
def test_list_of_cores_is_read_as_linux_writes_it(text, cores):
    assert listed_cores(text) == cores


def _placed(allowed, near, number):
    """Return the cores of workers that come one after another, each with its near cores."""
    taken = []
    for cores in near:
        taken.append(choose_cores(allowed, cores, taken, number))
    return taken


def test_workers_without_gpus_get_the_cores_in_order_and_then_once_more():
    allowed = [2, 3, 5, 7]
    assert _placed(allowed, [()] * 6, 1) == [(2,), (3,), (5,), (7,), (2,), (3,)]
    assert _placed(allowed, [()] * 3, 2) == [(2, 3), (5, 7), (2, 3)]
    assert choose_cores([4], (), [], 3) == (4,)
    assert choose_cores([], (), [], 3) == ()  # where none are its own


def test_worker_that_takes_anothers_place_gets_its_cores():
    placed = _placed(range(8), [()] * 4, 2)
    for gone in range(4):
        others = placed[:gone] + placed[gone + 1 :]
        assert choose_cores(range(8), (), others, 2) == placed[gone]


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_workers_of_gpus_share_out_the_cores_near_them_in_whatever_order_they_come(order):
    near = [FIRST, FIRST, SECOND, SECOND]
    placed = _placed(range(16), [near[gpu] for gpu in order], 4)
    for gpu, cores in zip(order, placed, strict=True):
        assert len(cores) == 4
        assert set(cores) <= near[gpu]
    assert sorted(itertools.chain(*placed)) == [*range(16)]


def test_parts_of_gpus_share_out_the_cores_near_them():
    placed = _placed(range(16), [FIRST] * 4 + [SECOND] * 4, 2)
    assert sorted(itertools.chain(*placed)) == [*range(16)]
    assert all(set(cores) <= FIRST for cores in placed[:4])
    assert all(set(cores) <= SECOND for cores in placed[4:])


def test_cores_that_are_not_near_are_better_than_those_of_others():
    assert _placed(range(16), [FIRST, FIRST], 6) == [(0, 1, 2, 3, 8, 9), (4, 5, 6, 7, 10, 11)]


def test_near_cores_that_workers_may_not_use_are_none():
    assert choose_cores([4, 5, 6], FIRST, [], 2) == (4, 5)


def test_threads_that_are_at_work_keep_to_the_cores_too():
    core = max(os.sched_getaffinity(0))
    script = f"""
import os, threading
from pathlib import Path
from hyperdiag.run.cluster.near_cores import keep_to
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
keep_to([{core}])
print([sorted(os.sched_getaffinity(int(t.name))) for t in Path("/proc/self/task").iterdir()])
end.set()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[[core], [core]]}\n"
