"""Which method and tile a run freezes: as before, as configured, or as measured on its device."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hyperdiag.config.schema import Config
from hyperdiag.hyperdual import AUTO, Choice, choose
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network, build_network
from hyperdiag.process.ask import NoAnswer, answer, ask
from hyperdiag.run.cluster.device import SINGLE_THREADED, check_device
from hyperdiag.run.cluster.user_modules import user_modules

from .plan import Settings

_MOST_SECONDS = 300.0


def chosen_method(
    config: Config,
    network: Network,
    directions: Sequence[str],
    device: str,
    earlier: Settings | None,
) -> Choice:
    """Return the method and tile of this run.

    What the earlier plan in the output folder says is kept, if that was for the same network,
    directions, dtype and device: timings differ from day to day, and a run that goes on must not.
    Otherwise the outcome that this machine remembers is taken, or the candidates are timed where
    workers will run: in this process for `cluster=inline`, on a worker's core or device of this
    machine for `cluster=local`, in a task on the cluster for `cluster=existing`.

    Raises:
        UsageError: if the network cannot be timed, with the reason.
    """
    how = config.derivatives
    job = {
        "network": config.network.model_dump(),
        "directions": list(directions),
        "method": how.method,
        "tile": how.tile,
        "dtype": how.dtype,
        "device": device,
        "pin": config.cluster.pin and device == "cpu",
    }
    before = _frozen_before(earlier, network, job, device)
    if before is not None:
        return before
    known = _choose(network, job, None, device) if device == "cpu" else None
    if known is not None:
        return known
    if config.cluster.name == "inline":
        found = _choose(network, job)
        assert found is not None
        return found
    if config.cluster.name == "existing":
        from hyperdiag.run.cluster.ray_cluster import (
            on_cluster,  # late: without Ray, inline still works
        )

        return Choice(*on_cluster(config.cluster, measure, job, user_modules(config)))
    return _in_process(job)


def measure(job: Mapping[str, Any]) -> list[Any]:
    """Build the network here and time its candidates; return method and tile.

    Raises:
        HyperdiagError: if there is not the device that the run is for.
    """
    if job["pin"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    check_device(job["device"])  # which starts JAX
    network = build_network(dict(job["network"]), job["dtype"])
    choice = _choose(network, job)
    assert choice is not None
    return list(choice)


def _choose(
    network: Network,
    job: Mapping[str, Any],
    seconds: float | None = 6.0,
    device_kind: str | None = None,
) -> Choice | None:
    return choose(
        network.function,
        network.n_inputs,
        job["method"],
        network.wrt(job["directions"]),
        job["dtype"],
        job["tile"],
        seconds,
        device_kind,
    )


def _frozen_before(
    earlier: Settings | None, network: Network, job: Mapping[str, Any], device: str
) -> Choice | None:
    if earlier is None:
        return None
    how, digest = earlier["derivatives"], earlier["network"]["digest"]
    choice = Choice(how["method"], how["tile"])
    same = (digest, how["directions"], how["dtype"], how["device"]) == (
        network.digest,
        job["directions"],
        job["dtype"],
        device,
    )
    fits = job["method"] in (AUTO, choice.method) and job["tile"] in (None, choice.tile)
    return choice if same and fits else None


def _in_process(job: Mapping[str, Any]) -> Choice:
    """Time in a process like a worker's, on this machine."""
    platforms = "cpu" if job["device"] == "cpu" else "cuda,cpu"
    failure = f"derivatives.method={job['method']}: timing it failed"
    mend = "give method and tile, such as derivatives.method=hyperdual derivatives.tile=32"
    environment = {**SINGLE_THREADED, "JAX_PLATFORMS": platforms}
    try:
        return Choice(*ask(__name__, job, environment, _MOST_SECONDS))
    except NoAnswer as error:
        raise UsageError(f"{failure}: {error}; {mend}") from error


if __name__ == "__main__":
    answer(measure)
