"""The Ray cluster that workers are on: joining it, and what they need there."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
from ray._private import services
from ray._private import utils as ray_utils
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.messages.masking import HIDDEN, masked_errors, masked_text
from hyperdiag.run.cluster.device import SINGLE_THREADED

log = logging.getLogger("hyperdiag")

_Result = TypeVar("_Result")

_REACH_SECONDS = 5.0  # a head node that takes longer to answer is no help
# Ray's, named after another of its uses: how often `ray.init` asks the head node.
_TRIES = "RAY_gcs_server_port_wait_time_s"
_GPU_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # JAX's
_LOOK_SECONDS = 1.0  # between two looks at whether the cluster has grown


def on_cluster(
    cluster: ClusterConfig,
    function: Callable[[Any], Any],
    argument: Any,
    modules: Sequence[str],
) -> Any:
    """Return what a function returns in a task, with a worker's resources, on a running cluster.

    Raises:
        UsageError: if there is no such cluster, or the function fails there.
        HyperdiagError: if an autoscaler brings no room for it in time.
    """
    join(cluster, modules)
    try:
        check_room(cluster)  # a task that nothing can run would wait for ever
        task = ray.remote(_quietly).options(**resources(cluster)).remote(function, argument)
        _wait_for_room(cluster, task)
        return ray.get(task)
    except RayTaskError as error:
        raise UsageError(f"on the cluster: {error.cause}") from error
    finally:
        ray.shutdown()


def _quietly(function: Callable[[Any], Any], argument: Any) -> Any:
    with masked_errors():
        return function(argument)


def on_nodes(
    nodes: Collection[str], function: Callable[[str], _Result], argument: str
) -> list[_Result]:
    """Return what a function returns on each of some nodes of the cluster that this joined.

    Args:
        nodes: their ids.
        function: importable on the nodes.
        argument: its own.

    Raises:
        HyperdiagError: if one of the nodes is lost.
    """
    task = ray.remote(function)
    places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    refs = [
        task.options(num_cpus=0, scheduling_strategy=place).remote(argument) for place in places
    ]
    try:
        return ray.get(refs)
    except RayTaskError:
        raise
    except RayError as error:
        raise HyperdiagError(f"a node of the cluster is lost ({first_line(error)})") from error


def room_for(cluster: ClusterConfig) -> int:
    """Return how many workers the cluster that this process is connected to has room for."""
    return min(_rooms(cluster).values())


def check_room(cluster: ClusterConfig) -> None:
    """Check that the cluster can begin the run, or will when it has grown.

    Raises:
        UsageError: if it has no room for the least number of workers.
    """
    rooms = _rooms(cluster)
    kind = min(rooms, key=rooms.__getitem__)  # the scarcest
    least, room, each = cluster.min_workers or cluster.workers or 1, rooms[kind], _each(cluster)
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
        raise UsageError(
            f"{name}={least} with {each[kind]:g} {kind} each: the cluster has {kind}s for {room}"
        )


def _wait_for_room(cluster: ClusterConfig, task: Any) -> None:
    """Return when a task has a place, or could have: an autoscaler acts on tasks that wait."""
    deadline = time.monotonic() + cluster.wait_seconds
    while not room_for(cluster) and not ray.wait([task], timeout=_LOOK_SECONDS)[0]:
        if time.monotonic() > deadline:
            ray.cancel(task)
            raise HyperdiagError(
                f"the autoscaler brought no node for a worker in {cluster.wait_seconds:g} s "
                "(cluster.wait_seconds): see `ray status` on the cluster, and whether a node of "
                "it can have what a worker needs"
            )


def _each(cluster: ClusterConfig) -> dict[str, float]:
    """Return what a worker needs: the first is what there is usually less of."""
    gpus = cluster.gpus_per_worker
    return {"GPU": gpus, "CPU": 1} if gpus else {"CPU": 1}


def _rooms(cluster: ClusterConfig) -> dict[str, int]:
    """Return for how many workers there is enough of each thing that they need."""
    there = ray.cluster_resources()
    # Ray counts in ten-thousandths; 1 // 0.1 is 9.
    return {kind: int(round(there.get(kind, 0) / each, 4)) for kind, each in _each(cluster).items()}


def resources(cluster: ClusterConfig) -> dict[str, Any]:
    """Return what a worker needs, and the environment that JAX starts in."""
    each = cluster.gpus_per_worker
    platforms = {"JAX_PLATFORMS": "cuda,cpu" if each else "cpu"}
    memory = {}
    if 0 < each < 1 and _GPU_SHARE not in os.environ:
        # JAX takes three quarters of a GPU otherwise, for the first worker that comes.
        memory = {_GPU_SHARE: f"{0.9 * each:.4g}"}
    return {
        "num_cpus": 1,
        "num_gpus": each,
        "runtime_env": {"env_vars": platforms | memory | SINGLE_THREADED},
    }


def join(cluster: ClusterConfig, modules: Sequence[str]) -> None:
    """Connect to a running cluster and send it the user's modules.

    Raises:
        UsageError: if there is none at the address.
    """
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _check_reachable(address)
        with _masked_entrypoint(), _one_try():
            ray.init(
                address=address,
                runtime_env={"py_modules": list(modules)} if modules else None,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"cluster=existing: no Ray cluster at {address} ({first_line(error)}); start one "
            "with `ray start --head`, set cluster.address, or take cluster=local; one that "
            "asks for a token needs RAY_AUTH_MODE=token here too"
        ) from error


@contextmanager
def _masked_entrypoint() -> Iterator[None]:
    """Mask the command line that Ray shows, on its dashboard, of a driver that joins here."""
    original = ray_utils.get_entrypoint_name
    words = [
        f"{word.partition('=')[0]}={HIDDEN}" if word.startswith("notify.") else masked_text(word)
        for word in sys.orig_argv
    ]
    ray_utils.get_entrypoint_name = lambda: " ".join(words)
    try:
        yield
    finally:
        ray_utils.get_entrypoint_name = original


@contextmanager
def _one_try() -> Iterator[None]:
    """Let Ray ask a head node once, for half a minute, not twenty times, unless told otherwise."""
    if _TRIES in os.environ:
        yield
        return
    os.environ[_TRIES] = "1"
    try:
        yield
    finally:
        del os.environ[_TRIES]


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would go on trying for a while."""
    if "://" not in address:  # Ray has its own ideas of `auto` and of 127.0.0.1
        address = services.canonicalize_bootstrap_address(address) or address
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
