"""Workers that Ray gives GPUs, which it believes in: where they are placed, and what they find.

As far as where JAX says that it has no GPU here.
"""

import itertools
import os
from collections import Counter
from dataclasses import replace

import psutil
import pytest
import ray
from ray.exceptions import RayTaskError

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.process.limits import owns_cores
from hyperdiag.run.cluster.room import capacity, with_cores
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.ray_actors import WorkerGroup

CPUS, GPUS = 4, 2


@pytest.fixture(scope="module")
def with_gpus():
    ray.init(num_cpus=CPUS, num_gpus=GPUS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def started(with_gpus, configure, tmp_path):
    """Start workers as far as they get; return what is known of each, and the cores it runs on."""
    config, _ = configure(
        *("network=chain", "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'", "cluster=inline"),
        *("dataset.ranges={x1: [0,1], x2: [0,1]}", f"output.path={tmp_path}/out"),
        *("derivatives.method=hyperdual", "derivatives.tile=8"),
    )
    plan = make_plan(config).plan
    plan = replace(plan, kernel=replace(plan.kernel, device="gpu"))
    groups = []

    def start(**options):
        cluster = with_cores(ClusterConfig(name="local", **options))
        group = WorkerGroup(cluster, plan.for_workers(), f"{tmp_path}/out", LimitsConfig())
        groups.append(group)
        for ref in list(group.starting):
            group.advance_start(ref)  # to where it is placed and pinned
        for ref in group.starting:
            with pytest.raises(RayTaskError, match="planned for a gpu, but JAX has only a cpu"):
                ray.get(ref)
        handles = group.handles
        return handles, [os.sched_getaffinity(handle.address.process) for handle in handles]

    yield start
    for group in groups:
        group.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "cores"), [(1, 2), (0.5, 1), (2, 4)])
def test_workers_with_gpus_see_those_alone_and_keep_to_cores_of_their_own(started, gpus, cores):
    handles, affinities = started(gpus_per_worker=gpus)
    assert len(handles) == GPUS / gpus
    devices = Counter(itertools.chain(*(handle.address.devices.split(",") for handle in handles)))
    assert devices == dict.fromkeys(("0", "1"), max(1 / gpus, 1))
    here = os.sched_getaffinity(0)
    if not owns_cores():
        assert affinities == [here] * len(handles)
        return
    # Ray was told of four cores, of which there may be fewer: then some are shared, evenly.
    owners = Counter(itertools.chain(*affinities))
    assert all(len(affinity) == min(cores, len(here)) for affinity in affinities)
    assert max(owners.values()) - min(owners.values()) <= 1
    assert set(owners) <= here
    if len(here) >= CPUS:
        assert set(owners.values()) == {1}
    assert [set(handle.cores) for handle in handles] == affinities


def test_workers_that_share_gpus_find_their_share_of_memory_and_do_not_get_each_others_cores(
    started, monkeypatch
):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    handles, affinities = started(gpus_per_worker=0.5, cpus_per_worker=1, workers=2)
    for handle in handles:
        environment = psutil.Process(handle.address.process).environ()
        assert environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.45"
        assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert [handle.address.devices for handle in handles] == ["0", "0"]
    if owns_cores() and len(os.sched_getaffinity(0)) > 1:
        assert not affinities[0] & affinities[1]


@pytest.mark.slow
def test_workers_that_are_not_to_be_pinned_run_on_every_core(started):
    _, affinities = started(gpus_per_worker=1, pin=False)
    assert affinities == [os.sched_getaffinity(0)] * 2


def test_workers_are_as_many_as_cores_and_gpus_both_allow(with_gpus):
    def room(**options):
        return capacity(with_cores(ClusterConfig(name="local", **options)))

    assert room() == CPUS
    assert room(gpus_per_worker=1, cpus_per_worker=3) == 1
    assert room(gpus_per_worker=0.5) == 4
    assert room(gpus_per_worker=0.25) == 4  # a core at least for each
