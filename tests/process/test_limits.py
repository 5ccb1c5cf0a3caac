"""Limits of containers and batch jobs, as the kernel writes them down on machines of many kinds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperdiag.process.limits import cores, memory_bytes, owns_cores

GIB = 2**30
V1 = "31 23 0:28 {top} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}"
V2 = "40 31 0:38 {top} {place} rw,relatime - cgroup2 cgroup2 rw,nsdelegate"

# By name: groups of this process, mounts, files below /sys/fs/cgroup, (cores, GiB) of them.
MACHINES = {
    "no limit, version 2": (
        "0::/user.slice/session-1.scope",
        [V2.format(top="/", place="/sys/fs/cgroup")],
        {"user.slice/cpu.max": "max 100000", "user.slice/memory.max": "max"},
        (64, 256),
    ),
    "no limit, version 1": (
        "4:memory:/\n1:cpu:/",
        [V1.format(top="/", name="cpu"), V1.format(top="/", name="memory")],
        {
            **{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
        (64, 256),
    ),
    "docker run --cpus=4 --memory=8g, version 2": (
        "0::/",
        [V2.format(top="/", place="/sys/fs/cgroup")],
        {"cpu.max": "400000 100000", "memory.max": str(8 * GIB)},
        (4, 8),
    ),
    "docker run --cpus=2.5 -m 3g, version 1, the path of the machine": (
        "5:cpu,cpuacct:/docker/ab12\n4:memory:/docker/ab12",
        [
            "31 23 0:28 /docker/ab12 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            V1.format(top="/docker/ab12", name="memory"),
        ],
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "250000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(3 * GIB),
        },
        (2, 3),
    ),
    "half a core of Kubernetes, its group hidden": (
        "0::/../../pod7/crio-1",
        [V2.format(top="/../../pod7/crio-1", place="/sys/fs/cgroup")],
        {"cpu.max": "50000 100000", "memory.max": str(GIB)},
        (1, 1),
    ),
    "a slice of systemd within one that has less": (
        "0::/user.slice/user-7.slice/run-9.scope",
        [V2.format(top="/", place="/sys/fs/cgroup")],
        {
            "user.slice/user-7.slice/cpu.max": "600000 100000",
            "user.slice/user-7.slice/run-9.scope/cpu.max": "1200000 100000",
            "user.slice/user-7.slice/memory.max": "max",
            "user.slice/user-7.slice/run-9.scope/memory.max": str(24 * GIB),
        },
        (6, 24),
    ),
    "a job of Slurm, both versions at once": (
        "6:memory:/slurm/uid_7/job_3\n3:cpu:/slurm/uid_7/job_3\n0::/",
        [
            V1.format(top="/", name="cpu"),
            V1.format(top="/", name="memory"),
            V2.format(top="/", place="/sys/fs/cgroup/unified"),
        ],
        {
            "cpu/slurm/uid_7/job_3/cpu.cfs_quota_us": "800000",
            "cpu/slurm/uid_7/job_3/cpu.cfs_period_us": "100000",
            "memory/slurm/uid_7/job_3/memory.limit_in_bytes": str(16 * GIB),
        },
        (8, 16),
    ),
    "nothing to be read": ("", [], {}, (64, 256)),
}


@pytest.fixture
def large_machine(monkeypatch):
    """64 cores and 256 GiB, whatever this one has."""
    pages = {"SC_PHYS_PAGES": 256 * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)


@pytest.mark.parametrize("name", MACHINES)
def test_limits_are_those_of_the_groups_that_this_process_is_in(name, tmp_path, large_machine):
    groups, mounts, files, (most_cores, gigabytes) = MACHINES[name]
    texts = {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": "\n".join(
            ["23 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw", *mounts]
        ),
        **{f"sys/fs/cgroup/{path}": text for path, text in files.items()},
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{text}\n")
    assert (cores(tmp_path), memory_bytes(tmp_path) / GIB) == (most_cores, gigabytes)
    assert owns_cores(tmp_path) == (most_cores == 64)


def test_cores_that_a_process_may_not_run_on_do_not_count():
    core = str(max(os.sched_getaffinity(0)))
    asked = "from hyperdiag.process.limits import *; print(cores(), owns_cores())"
    done = subprocess.run(
        ["taskset", "-c", core, sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 True\n"


def test_quota_that_the_kernel_keeps_is_found():
    group = Path("/sys/fs/cgroup/cpu/hyperdiag-test")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("control groups of version 1 cannot be made here")
    try:
        (group / "cpu.cfs_quota_us").write_text("100000")
        script = f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -c "
        script += '"from hyperdiag.process.limits import *; print(cores(), owns_cores())"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == f"1 {len(os.sched_getaffinity(0)) == 1}\n"
    finally:
        group.rmdir()
