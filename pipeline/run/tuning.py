"""Which method and tile a run freezes: as before, as configured, or as measured on its device."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.hyperdual import AUTO, Choice, choose
from pipeline.networks import Network, build_network

from .own_modules import own_modules
from .predecessor import earlier_settings
from .worker import SINGLE_THREADED

_ANSWER = "hyperdiag tuning: "
_MOST_SECONDS = 300.0


def chosen_method(
    config: Config, network: Network, directions: Sequence[str], device: str
) -> Choice:
    """Return the method and tile of this run.

    What the plan in the output folder says is kept, if that was for the same network, directions,
    dtype and device: timings differ from day to day, and a run that goes on must not. Otherwise the
    outcome that this machine remembers is taken, or the candidates are timed where workers will
    run: in this process for `cluster=inline`, on a worker's core or device of this machine for
    `cluster=local`, in a task on the cluster for `cluster=existing`.

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
        "pin": config.cluster.pin and device == "cpu",
    }
    before = _frozen_before(config, network, job, device)
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
        from .ray_cluster import on_cluster  # late: without Ray, inline still works

        return Choice(*on_cluster(config.cluster, measure, job, own_modules(config)))
    return _in_process(job, device)


def measure(job: Mapping[str, Any]) -> list[Any]:
    """Build the network here and time its candidates; return method and tile."""
    if job["pin"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
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
    config: Config, network: Network, job: Mapping[str, Any], device: str
) -> Choice | None:
    settings = earlier_settings(config)
    if settings is None:
        return None
    how, digest = settings["derivatives"], settings["network"]["digest"]
    choice = Choice(how["method"], how["tile"])
    same = (digest, how["directions"], how["dtype"], how["device"]) == (
        network.digest,
        job["directions"],
        job["dtype"],
        device,
    )
    fits = job["method"] in (AUTO, choice.method) and job["tile"] in (None, choice.tile)
    return choice if same and fits else None


def _in_process(job: Mapping[str, Any], device: str) -> Choice:
    """Time in a process like a worker's, on this machine."""
    platforms = "cpu" if device == "cpu" else "cuda,cpu"
    failure = f"derivatives.method={job['method']}: timing it failed"
    mend = "give method and tile, such as derivatives.method=hyperdual derivatives.tile=32"
    try:
        done = subprocess.run(
            # Without the current folder first: a `pipeline` of the user's is not ours.
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            env={**os.environ, **SINGLE_THREADED, "JAX_PLATFORMS": platforms},
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{failure}: no answer in {_MOST_SECONDS:g} s; {mend}") from error
    # Whatever the user's code prints besides.
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode != 0 or not answers:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UsageError(f"{failure}: {reason}; {mend}")
    return Choice(*json.loads(answers[0].removeprefix(_ANSWER)))


if __name__ == "__main__":
    # The network's own module may be in the current folder.
    sys.path.insert(0, str(Path.cwd()))
    print(f"\n{_ANSWER}{json.dumps(measure(json.load(sys.stdin)))}", flush=True)
