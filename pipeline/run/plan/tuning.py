"""Which method, tile and precision a run freezes: as before, as configured, or as measured."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hyperdiag.config.schema import Config, DesignConfig
from hyperdiag.hyperdual import AUTO, HIGHEST, Choice, choose, choose_precision
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network, build_network, float64_function
from hyperdiag.process.ask import NoAnswer, answer, ask
from hyperdiag.process.limits import owns_cores
from hyperdiag.run.cluster.device import SINGLE_THREADED, check_device
from hyperdiag.run.cluster.ray_environment import prepare_ray
from hyperdiag.run.cluster.user_modules import user_modules

from .precision import planned_precision
from .spec import Settings

_MOST_SECONDS = 300.0
# At which precisions are tried.
_TYPICAL_POINTS = 256


class Frozen(NamedTuple):
    """What is frozen: the method's name, the rows of a tile, the precision of its products."""

    method: str
    tile: int | None
    precision: str


@dataclass(frozen=True)
class TimingRequest:
    """What is to be timed, and where; plain values, as another process is asked.

    Attributes:
        network: its name and the options of its builder, with any credentials.
        directions: names of the inputs that are differentiated with respect to.
        method: as configured, "auto" perhaps.
        tile: as configured.
        dtype: "float32" or "float64".
        outputs: the quantities that are asked for.
        device: the kind that computes, "cpu" or "gpu".
        pin: whether the process is pinned to one core, as a worker is.
        rows: that there are; None: as many as there may be.
        precision: as configured, or "highest" where nothing else can come of "auto".
        tolerance: of verified rows.
    """

    network: Mapping[str, Any]
    directions: tuple[str, ...]
    method: str
    tile: int | None
    dtype: str
    outputs: tuple[str, ...]
    device: str
    pin: bool
    rows: int | None
    precision: str = HIGHEST
    tolerance: float = 0.0

    @property
    def fixed_precision(self) -> str:
        """The precision with which methods and tiles are timed."""
        return HIGHEST if self.precision == AUTO else self.precision

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "TimingRequest":
        """Read plain values back."""
        sequences = {name: tuple(values[name]) for name in ("directions", "outputs")}
        return TimingRequest(**{**values, **sequences})


def chosen_method(
    config: Config,
    network: Network,
    directions: tuple[str, ...],
    device: str,
    rows: int,
    most_rows: int,
    tolerance: float,
    previous: Settings | None,
) -> Frozen:
    """Return the method, tile and precision of this run.

    Args:
        config: of the run.
        network: that is derived.
        directions: names of the inputs that are differentiated with respect to.
        device: the kind that computes.
        rows: of the dataset.
        most_rows: of a shard.
        tolerance: of verified rows.
        previous: settings that this run goes on from.

    What the previous plan in the output folder says is kept, if that was for the same network,
    directions, dtype and device: timings differ from day to day, and a run that goes on must not.
    Otherwise the outcome that this machine remembers is taken, or the candidates are timed where
    workers will run: in this process for `cluster=inline`, on a worker's core or device of this
    machine for `cluster=local`, in a task on the cluster for `cluster=existing`. Of a design of few
    rows few candidates are; a Parquet dataset may grow, and its method stays.

    Raises:
        UsageError: if the network cannot be timed, with the reason, or the device does not have the
            precision.
    """
    request = TimingRequest(
        network=config.network.model_dump(),
        directions=directions,
        method=config.derivatives.method,
        tile=config.derivatives.tile,
        dtype=config.derivatives.dtype,
        outputs=config.derived.computed(config.derivatives.outputs),
        device=device,
        pin=config.cluster.pin and device == "cpu",
        rows=rows if isinstance(config.dataset, DesignConfig) else None,
        precision=planned_precision(config.derivatives, device),
        tolerance=tolerance,
    )
    kept = _previous_choice(previous, network, request)
    if kept is not None:
        return kept
    known = _without_timing(network, request)
    if known is not None:
        return known
    measured = _measured(config, network, request)
    if request.tile is None and measured.tile is not None and device != "cpu":
        # A tile of more rows than any shard has would be filled up with rows that nobody needs.
        filled = 1 << (most_rows - 1).bit_length()
        return measured._replace(tile=min(measured.tile, filled))
    return measured


def _without_timing(network: Network, request: TimingRequest) -> Frozen | None:
    """Return what is frozen if nothing has to be timed for that; None if it has."""
    if request.precision == AUTO:
        return None
    known = _choose(network, request, None, request.device)
    return Frozen(*known, request.precision) if known is not None else None


def _measured(config: Config, network: Network, request: TimingRequest) -> Frozen:
    """Time what is not known, where workers will run."""
    if config.cluster.name == "inline":
        try:
            return _fastest(network, request)
        except (MemoryError, TimeoutError) as error:
            raise UsageError(_failure(request, error)) from error
    if config.cluster.name == "existing":
        prepare_ray()
        from hyperdiag.run.cluster.ray_cluster import (
            on_cluster,  # late: without Ray, inline still works
        )

        return on_cluster(config.cluster, measure, request, user_modules(config))
    return _in_process(request)


def measure(request: TimingRequest) -> Frozen:
    """Build the network here and time its candidates.

    Raises:
        HyperdiagError: if there is not the device that the run is for, or it lacks the precision.
    """
    if request.pin and owns_cores():
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    check_device(request.device, request.fixed_precision)  # which starts JAX
    network = build_network(request.network, request.dtype)
    return _fastest(network, request)


def _fastest(network: Network, request: TimingRequest) -> Frozen:
    """Time the candidates in this process; precisions after method and tile, by these."""
    choice = _choose(network, request)
    assert choice is not None
    precision = request.precision
    if precision == AUTO:
        precision = choose_precision(
            network.function,
            network.n_inputs,
            choice,
            network.typical_points(_TYPICAL_POINTS),
            request.tolerance,
            network.wrt(request.directions),
            request.outputs,
            float64_function(request.network),
        )
    return Frozen(*choice, precision)


def _choose(
    network: Network,
    request: TimingRequest,
    seconds: float | None = 6.0,
    device_kind: str | None = None,
) -> Choice | None:
    return choose(
        network.function,
        network.n_inputs,
        request.method,
        network.wrt(request.directions),
        request.dtype,
        request.tile,
        seconds,
        device_kind,
        request.outputs,
        request.fixed_precision,
        request.rows,
    )


def _previous_choice(
    previous: Settings | None, network: Network, request: TimingRequest
) -> Frozen | None:
    if previous is None:
        return None
    kernel = previous.kernel
    same = (previous.network.digest, kernel.directions, kernel.dtype, kernel.device) == (
        network.digest,
        request.directions,
        request.dtype,
        request.device,
    )
    fits = request.method in (AUTO, kernel.method) and request.tile in (None, kernel.tile)
    precision = kernel.precision if request.precision == AUTO else request.precision
    return Frozen(kernel.method, kernel.tile, precision) if same and fits else None


def _in_process(request: TimingRequest) -> Frozen:
    """Time in a process like a worker's, on this machine."""
    platforms = "cpu" if request.device == "cpu" else "cuda,cpu"
    environment = {**SINGLE_THREADED, "JAX_PLATFORMS": platforms}
    try:
        return Frozen(*ask(__name__, request.to_json(), environment, _MOST_SECONDS))
    except NoAnswer as error:
        raise UsageError(_failure(request, error)) from error


def _failure(request: TimingRequest, error: Exception) -> str:
    return (
        f"derivatives.method={request.method}: timing it failed: {error}; give method and tile, "
        "such as derivatives.method=hyperdual derivatives.tile=32"
    )


if __name__ == "__main__":
    answer(lambda values: measure(TimingRequest.from_json(values)))
