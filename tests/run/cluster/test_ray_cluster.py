"""How many workers there is room for, and a Ray that does not start.

Of GPUs as far as a machine without one can tell: Ray believes in one that it is told of.
"""

import os

import pytest
import ray

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.run.cluster import ray_cluster
from hyperdiag.run.cluster.ray_cluster import (
    capacity,
    check_capacity,
    local_room,
    resources,
    start,
)


@pytest.fixture
def joined(ray_address):
    ray.init(address=ray_address, log_to_driver=False)
    yield
    ray.shutdown()


def _cluster(**options):
    return ClusterConfig(name="existing", **options)


@pytest.mark.slow
def test_room_is_what_cores_and_gpus_both_allow(joined):
    rooms = {gpus: capacity(_cluster(gpus_per_worker=gpus)) for gpus in (0, 0.1, 0.5, 1, 2)}
    assert rooms == {0: 2, 0.1: 2, 0.5: 2, 1: 1, 2: 0}
    with pytest.raises(UsageError, match=r"=3 with 1 CPU each: the cluster has CPUs for 2"):
        check_capacity(_cluster(gpus_per_worker=0.1, workers=3))
    with pytest.raises(UsageError, match=r"=2 with 1 GPU each: the cluster has GPUs for 1"):
        check_capacity(_cluster(gpus_per_worker=1, workers=2))


def test_workers_that_share_a_gpu_share_its_memory_unless_told_otherwise(joined, monkeypatch):
    name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    monkeypatch.delenv(name, raising=False)
    variable = ray.remote(lambda: os.environ.get(name))
    half, whole = (
        variable.options(**resources(_cluster(gpus_per_worker=gpus))).remote() for gpus in (0.5, 1)
    )
    assert ray.get([half, whole]) == ["0.45", None]
    monkeypatch.setenv(name, "0.2")
    assert name not in resources(_cluster(gpus_per_worker=0.5))["runtime_env"]["env_vars"]


@pytest.mark.parametrize(
    ("cores", "gigabytes", "gpus", "room"),
    [(4, 64, 0, 4), (64, 8, 0, 14), (64, 0.5, 0, 1), (1, 512, 0, 1), (64, 8, 0.5, 64)],
)
def test_room_on_this_machine_is_what_cores_and_memory_both_allow(
    monkeypatch, cores, gigabytes, gpus, room
):
    monkeypatch.setattr(ray_cluster, "cores", lambda: cores)
    monkeypatch.setattr(ray_cluster, "memory_bytes", lambda: int(gigabytes * 2**30))
    assert local_room(ClusterConfig(name="local", gpus_per_worker=gpus)) == room


def test_ray_that_does_not_start_is_said_in_a_sentence(tmp_path):
    folder = tmp_path / ("x" * 100)  # too long for Ray's sockets
    with pytest.raises(HyperdiagError, match=r"Ray does not start .*AF_UNIX.*cluster=inline"):
        start(ClusterConfig(name="local", workers=1), str(folder))
    assert not ray.is_initialized()
