"""What workers need, and how many there is room for.

Of GPUs as far as a machine without one can tell: Ray believes in those that it is told of.
"""

import os

import pytest
import ray

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster import room
from hyperdiag.run.cluster.room import (
    capacity,
    check_capacity,
    local_cpus,
    local_room,
    resources,
    with_cores,
)


@pytest.fixture
def joined(ray_address):
    ray.init(address=ray_address, log_to_driver=False)
    yield
    ray.shutdown()


def _cluster(**options):
    return ClusterConfig(name="existing", **options)


@pytest.fixture
def nodes(monkeypatch):
    """Let Ray know of some nodes, each by its CPUs and GPUs; a last one is dead."""

    def know(*sizes):
        known = [
            {
                "NodeID": str(at),
                "Alive": True,
                "Resources": {"CPU": float(cpus), "GPU": float(gpus)},
            }
            for at, (cpus, gpus) in enumerate(sizes)
        ]
        dead = {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 1.0, "GPU": 1.0}}
        monkeypatch.setattr(ray, "nodes", lambda: [*known, dead])

    return know


@pytest.mark.parametrize(
    ("sizes", "gpus", "cores"),
    [
        ([(64, 0), (8, 0)], 0, 1),
        ([(64, 8)], 1, 8),
        ([(64, 8)], 0.5, 4),
        ([(64, 8)], 2, 16),
        ([(64, 8), (12, 1), (2, 0)], 1, 8),  # the node that has fewest for each
        ([(64, 8), (12, 1)], 2, 16),  # where two GPUs are
        ([(2, 4)], 1, 1),
        ([(0, 1), (16, 1)], 1, 16),  # a head that takes no work
        ([(64, 0)], 1, 1),
    ],
)
def test_cores_of_a_worker_are_those_beside_its_gpus(nodes, sizes, gpus, cores):
    nodes(*sizes)
    needs = with_cores(_cluster(gpus_per_worker=gpus))
    assert needs.cores == cores
    assert resources(needs)["num_cpus"] == cores
    assert needs.in_flight == cores + 2


def test_numbers_that_are_configured_stay(nodes):
    nodes((64, 8))
    needs = with_cores(_cluster(gpus_per_worker=1, cpus_per_worker=3, shards_in_flight=9))
    assert (needs.cores, needs.in_flight) == (3, 9)


def test_defaults_are_a_core_and_three_shards():
    needs = with_cores(_cluster())
    assert (needs.cores, needs.in_flight) == (1, 3)


@pytest.mark.parametrize(
    ("sizes", "options", "workers"),
    [
        ([(8, 0), (3, 0)], {}, 11),
        ([(6, 0), (6, 0)], {"cpus_per_worker": 4}, 2),  # not three: each has its node
        ([(64, 8), (12, 1)], {"gpus_per_worker": 1}, 9),
        ([(64, 8), (12, 1)], {"gpus_per_worker": 0.5}, 18),
        ([(64, 8), (12, 1)], {"gpus_per_worker": 1, "cpus_per_worker": 12}, 6),
        (
            [(16, 2)],
            {"gpus_per_worker": 0.6},
            2,
        ),  # two thirds of one GPU and a third of another are none
        ([(64, 0), (1, 8)], {"gpus_per_worker": 1}, 1),
    ],
)
def test_room_is_counted_on_each_node(nodes, sizes, options, workers):
    nodes(*sizes)
    assert capacity(with_cores(_cluster(**options))) == workers


def test_nodes_that_are_left_out_have_no_room(nodes):
    nodes((64, 8), (12, 1), (3, 0))
    assert capacity(with_cores(_cluster(gpus_per_worker=1)), {"0"}) == 1
    assert capacity(with_cores(_cluster()), {"1", "2"}) == 64


def test_room_that_no_single_node_has_is_said_to_be_that(nodes):
    nodes((8, 0), (8, 0), (1, 2))
    with pytest.raises(UsageError, match=r"=2 with 1 GPU and 4 CPU each, on one node: .* for 0$"):
        check_capacity(_cluster(gpus_per_worker=1, cpus_per_worker=4, workers=2))


def test_cores_beside_gpus_that_are_to_come_must_be_said():
    growing = {"gpus_per_worker": 1, "autoscales": True, "workers": 2}
    with pytest.raises(UsageError, match=r"needs cluster\.cpus_per_worker=\.\.\."):
        with_cores(_cluster(**growing))
    assert with_cores(_cluster(**growing, cpus_per_worker=8)).cores == 8


@pytest.mark.slow
def test_room_is_what_cores_and_gpus_both_allow(joined):
    parts = (0, 0.1, 0.5, 1, 2)
    rooms = {gpus: capacity(with_cores(_cluster(gpus_per_worker=gpus))) for gpus in parts}
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
    ("cores", "gigabytes", "each", "workers"),
    [
        *((4, 64, 1, 4), (64, 8, 1, 14), (64, 0.5, 1, 1), (1, 512, 1, 1)),
        *((64, 512, 4, 16), (3, 64, 2, 1), (2, 64, 4, 1), (64, 8, 2, 11)),
    ],
)
def test_room_on_this_machine_is_what_cores_and_memory_both_allow(
    monkeypatch, cores, gigabytes, each, workers
):
    monkeypatch.setattr(room, "cores", lambda: cores)
    monkeypatch.setattr(room, "memory_bytes", lambda: int(gigabytes * 2**30))
    cluster = ClusterConfig(name="local", cpus_per_worker=each)
    assert local_room(cluster) == workers
    assert local_cpus(cluster) == workers * each


@pytest.mark.parametrize(
    ("options", "cpus"),
    [
        ({"workers": 6}, 6),
        ({"workers": 6, "cpus_per_worker": 2}, 12),
        ({"gpus_per_worker": 1}, 64),  # to be divided by the GPUs that Ray counts
        ({"gpus_per_worker": 0.5, "workers": 2}, 64),
        ({"gpus_per_worker": 1, "workers": 8, "cpus_per_worker": 16}, 128),
    ],
)
def test_ray_of_our_own_has_the_cpus_that_its_workers_need(monkeypatch, options, cpus):
    monkeypatch.setattr(room, "cores", lambda: 64)
    assert local_cpus(ClusterConfig(name="local", **options)) == cpus
