"""Workers on GPUs, as far as a machine without one can tell: Ray believes in one it is told of."""

import os

import pytest
import ray

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster.ray_cluster import capacity, check_capacity, resources


@pytest.fixture
def joined(ray_address):
    ray.init(address=ray_address, log_to_driver=False)
    yield
    ray.shutdown()


def _cluster(**options):
    return ClusterConfig(name="existing", **options)


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
