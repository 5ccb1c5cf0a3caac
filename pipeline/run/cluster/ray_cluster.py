"""The Ray cluster that workers are on: joining it, starting one, and what workers need there."""

import logging
import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import HyperdiagError, UsageError, first_line
from hyperdiag.messages.masking import masked_errors
from hyperdiag.networks.site_policy import check_host

from .bad_nodes import BadNodes
from .ray_session import RaySession
from .ray_workarounds import (
    check_reachable,
    loopback_only,
    masked_entrypoint,
    node_of,
    nothing_before_installed_modules,
    one_try,
    take_own_token,
    temp_dir_in,
    waiting_in_steps,
    words_to_log,
)
from .room import capacity, check_capacity, local_cpus, resources, with_cores

_Result = TypeVar("_Result")

_LOOK_SECONDS = 1.0  # between two looks at whether the cluster has grown
_OBJECT_STORE_BYTES = 80 << 20  # receipts are small; the least that Ray takes is 75 MiB


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
    session = RaySession(cluster)
    try:
        session.start(lambda: join(cluster, modules))
        return session.result_of(_on_a_worker(cluster, function, argument))
    finally:
        session.close(ray.shutdown)


class _Caller:
    """A process of its own, as a worker has one, that calls a function."""

    def call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        with masked_errors():
            return function(argument)


def _on_a_worker(
    cluster: ClusterConfig, function: Callable[[Any], Any], argument: Any
) -> Generator[None, None, Any]:
    """Return what a function returns on the cluster that this joined.

    Where it fails it is tried on another node, until it fails in the same way on two, or on all.
    """
    cluster = with_cores(cluster)
    check_capacity(cluster)  # what nothing can run would wait for ever
    bad = BadNodes()
    while True:
        options = resources(cluster) | bad.placement
        caller = ray.remote(_Caller).options(**options).remote()
        ref = caller.call.remote(function, argument)
        yield from _wait_while_there_is_room(cluster, ref, bad)
        try:
            return ray.get(ref)
        except RayError as error:
            cause = str(error.cause) if isinstance(error, RayTaskError) else first_line(error)
            node = node_of(caller)
            others = cluster.autoscales or capacity(cluster, {*bad, node or ""})
            if node is None or not others or cause in bad.causes():
                raise UsageError(f"on the cluster: {cause}") from error
            bad.add(node, cause)


def answers(refs: Sequence[Any]) -> Generator[None, None, list[Any]]:
    """Return what calls return; yield now and then while waiting."""
    waiting = list(refs)
    while waiting:
        waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK_SECONDS)[1]
        ray.cluster_resources()  # does not come back where nobody will ever answer
        yield
    return ray.get(list(refs))


def on_nodes(
    nodes: Collection[str], function: Callable[[str], _Result], argument: str
) -> Generator[None, None, list[_Result]]:
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
        return (yield from answers(refs))
    except RayTaskError:
        raise
    except RayError as error:
        raise HyperdiagError(f"a node of the cluster is lost ({first_line(error)})") from error


def _wait_while_there_is_room(
    cluster: ClusterConfig, ref: Any, without: Collection[str]
) -> Iterator[None]:
    """Yield until a call is answered, or no node can make it for too long.

    Raises:
        HyperdiagError: if none could for `cluster.wait_seconds`.
    """
    last_room = time.monotonic()
    while not ray.wait([ref], timeout=_LOOK_SECONDS)[0]:
        now = time.monotonic()
        if capacity(cluster, without):
            last_room = now
        elif now - last_room > cluster.wait_seconds:
            trouble = (
                "the autoscaler brought no node"
                if cluster.autoscales
                else "the cluster has had no room"
            )
            raise HyperdiagError(
                f"{trouble} for a worker in {cluster.wait_seconds:g} s (cluster.wait_seconds): see "
                "`ray status` on the cluster, and whether a node of it can have what a worker needs"
            )
        yield


def join(cluster: ClusterConfig, modules: Sequence[str]) -> None:
    """Connect to a running cluster and send it the user's modules.

    Raises:
        UsageError: if there is none at the address.
    """
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "auto"
    words_to_log()
    if address == "auto":
        # Ray believes a file in /tmp, or the command line of any process.
        check_host(address, "cluster.address")
    try:
        check_reachable(address)
        with nothing_before_installed_modules(), masked_entrypoint(), one_try():
            ray.init(
                address=address,
                runtime_env={"py_modules": list(modules)} if modules else None,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except Exception as error:  # whatever Ray's many parts raise
        raise UsageError(
            f"cluster=existing: no Ray cluster at {address} ({first_line(error)}); start one "
            "with `ray start --head`, set cluster.address, or take cluster=local; one that "
            "asks for a token needs RAY_AUTH_MODE=token here too"
        ) from error


def start(cluster: ClusterConfig, folder: str) -> None:
    """Start a Ray of our own on this machine, which nobody else can talk to, and connect to it.

    Args:
        cluster: how many workers there shall be, and whether they have GPUs.
        folder: for Ray's files, see `temp_dir_in`.

    Raises:
        HyperdiagError: if Ray does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cpus = local_cpus(cluster)
    words_to_log()
    try:
        take_own_token()
        with nothing_before_installed_modules(), loopback_only(), waiting_in_steps():
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=None if cluster.gpus_per_worker else 0,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
                _temp_dir=temp_dir_in(folder),
            )
    except Exception as error:  # whatever Ray's many parts raise
        raise HyperdiagError(
            f"cluster=local: Ray does not start on this machine, with its files in {folder} "
            f"(TMPDIR): {first_line(error)}; cluster=inline does the same work in one process, "
            "without Ray"
        ) from error
