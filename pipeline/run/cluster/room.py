"""What a worker needs of its node, and for how many workers a machine or a cluster has room."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

import ray

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.wording import counted, size
from hyperdiag.process.limits import cores, memory_bytes

from .device import worker_environment

log = logging.getLogger("hyperdiag")

# What JAX, Arrow and a small network take; and the driver with Ray's own processes.
_WORKER_BYTES, _DRIVER_BYTES = 512 << 20, 1 << 30
# For each further core of a worker: a batch, its table and the file that grows, with some room.
_CORE_BYTES = 128 << 20


def with_cores(cluster: ClusterConfig) -> ClusterConfig:
    """Return a section on the cluster that says how many cores a worker has.

    Where it does not say so itself, a worker without a GPU has one. One with GPUs has those beside
    them: its part of the cores of a node for each GPU of that, on the node that has fewest. All
    workers have the same number, since a worker may be placed on any node.

    Args:
        cluster: that this process is connected to.

    Raises:
        UsageError: if there may be no node with a GPU yet, which would tell.
    """
    if cluster.cpus_per_worker:
        return cluster
    if cluster.autoscales and cluster.gpus_per_worker:
        raise UsageError(
            "cluster.autoscales=true with cluster.gpus_per_worker needs cluster.cpus_per_worker="
            "...: how many cores each worker gets of a node, which is still to come"
        )
    return cluster.on_cores(_usual_cores(cluster))


def _usual_cores(cluster: ClusterConfig) -> int:
    gpus = cluster.gpus_per_worker
    if not gpus:
        return 1
    # A node without cores, or with too few GPUs, gets no worker.
    nodes = [node for node in _nodes() if node.get("GPU", 0) >= gpus and node.get("CPU", 0) >= 1]
    return max(min((_whole(node["CPU"] * gpus / node["GPU"]) for node in nodes), default=1), 1)


def resources(cluster: ClusterConfig) -> dict[str, Any]:
    """Return what a worker needs, and the environment that JAX starts in, as options for Ray."""
    environment = worker_environment(cluster.gpus_per_worker, cluster.compile_cache)
    return {
        "num_cpus": cluster.cores,
        "num_gpus": cluster.gpus_per_worker,
        "runtime_env": {"env_vars": environment},
    }


def capacity(cluster: ClusterConfig, without: Collection[str] = ()) -> int:
    """Return how many workers the cluster that this process is connected to has room for.

    Args:
        cluster: what each needs, as `with_cores` returns it.
        without: ids of nodes that do not count.
    """
    return sum(min(_rooms(cluster, node).values()) for node in _nodes(without))


def check_capacity(cluster: ClusterConfig) -> None:
    """Check that the cluster can begin the run, or will when it has grown.

    Args:
        cluster: what each worker needs, as `with_cores` returns it.

    Raises:
        UsageError: if it has no room for the least number of workers.
    """
    least, room = cluster.min_workers or cluster.workers or 1, capacity(cluster)
    if cluster.autoscales:
        if cluster.workers is None:
            raise UsageError(
                "cluster.autoscales=true needs cluster.workers=...: how many workers to ask "
                "the autoscaler for"
            )
        if room < cluster.workers:
            log.info(
                "the cluster has room for %s of %s workers; its autoscaler is asked for the others",
                room,
                cluster.workers,
            )
    elif least > room:
        name = "cluster.min_workers" if cluster.min_workers else "cluster.workers"
        raise UsageError(f"{name}={least} with {_shortage(cluster, least)}")


def _shortage(cluster: ClusterConfig, least: int) -> str:
    """Return what each of so many workers needs, and what there is instead."""
    each = _each(cluster)
    rooms = [_rooms(cluster, node) for node in _nodes()]
    for kind, needed in each.items():
        enough_for = sum(room[kind] for room in rooms)
        if enough_for < least:
            return f"{needed:g} {kind} each: the cluster has {kind}s for {enough_for}"
    needs = " and ".join(f"{needed:g} {kind}" for kind, needed in each.items())
    return f"{needs} each, on one node: the nodes have room for {capacity(cluster)}"


def _each(cluster: ClusterConfig) -> dict[str, float]:
    """Return what a worker needs of each resource: the first is usually the scarcer one."""
    gpus = cluster.gpus_per_worker
    return ({"GPU": gpus} if gpus else {}) | {"CPU": cluster.cores}


def _rooms(cluster: ClusterConfig, node: Mapping[str, float]) -> dict[str, int]:
    """Return for how many workers a node has enough of each resource that they need."""
    rooms = {}
    for kind, each in _each(cluster).items():
        much = node.get(kind, 0)
        # A part of a GPU is part of a single one: two have no room for a third worker of 0.6 each.
        parted = kind == "GPU" and each < 1
        rooms[kind] = int(much) * _whole(1 / each) if parted else _whole(much / each)
    return rooms


def _whole(number: float) -> int:
    return int(round(number, 4))  # Ray counts in ten-thousandths; 1 // 0.1 is 9


def _nodes(without: Collection[str] = ()) -> list[dict[str, float]]:
    """Return the resources of each node that is alive, but for some."""
    nodes = ray.nodes()
    return [n["Resources"] for n in nodes if n["Alive"] and n["NodeID"] not in without]


def local_cpus(cluster: ClusterConfig) -> int:
    """Return how many CPUs a Ray of our own shall have: for as many workers as there shall be.

    With GPUs, which that Ray counts, all cores of this machine: they are divided by them.
    """
    if cluster.gpus_per_worker:
        return max(cores(), (cluster.workers or 1) * cluster.cores)
    return (cluster.workers or local_room(cluster)) * cluster.cores


def local_room(cluster: ClusterConfig) -> int:
    """Return how many workers this machine, or the container that this is in, has room for.

    As many as have cores of their own, but no more than the memory is enough for.

    Args:
        cluster: of workers without GPUs.
    """
    number = max(cores() // cluster.cores, 1)
    memory = memory_bytes()
    each = _WORKER_BYTES + (cluster.cores - 1) * _CORE_BYTES
    fit = max(1, (memory - _DRIVER_BYTES) // each)
    if number <= fit:
        return number
    log.warning(
        "%s of memory: room for %s, on %s cores (cluster.workers=... takes another number)",
        size(memory),
        counted(fit, "worker"),
        cores(),
    )
    return fit
