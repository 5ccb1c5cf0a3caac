"""One network, all contestants: timed in turn in one process, and checked against float64."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import jax
import numpy as np

from hyperdiag.hyperdual import numerics
from hyperdiag.run.cluster.device import is_out_of_memory

from .benchmark_network import BenchmarkNetwork, Function
from .contestants import Batched, Contestant, jvp_of_jvp

# Points at which a contestant's numbers are checked.
CHECK_ROWS = 64
# A contestant whose call takes longer (seconds) gets fewer rows, and `_SLOW_ROUNDS` rounds.
SLOW_SECONDS = 3.0
_SLOW_ROUNDS = 2
# A contestant calls again and again for so long (seconds) when its turn comes.
_TURN_SECONDS = 0.15
# The part of a batch that shows how slow a contestant is.
_PROBE_PART = 32
# An error above this part of the largest derivative is no rounding: the numbers are wrong.
WRONG = 1e-2


@dataclass(frozen=True)
class Result:
    """How one contestant did on one network.

    Attributes:
        cannot: why it cannot differentiate this network, or gives wrong numbers; None if it can.
        rows: points of each timed call; fewer than the others' where it is `slow`.
        slow: whether it was given fewer rows and rounds for being slow, or for want of memory.
        calls: how many calls were timed.
        seconds: the median of a call.
        build_seconds: until the contestant was there: of one that tunes itself, tuning.
        compile_seconds: from there to the first result, less one call: tracing and compiling.
        errors: {array: largest error / largest magnitude of that output}, against float64.
        choice: the method and tile that it says it chose; None where it does not say.
    """

    cannot: str | None = None
    rows: int = 0
    slow: bool = False
    calls: int = 0
    seconds: float = math.nan
    build_seconds: float = math.nan
    compile_seconds: float = math.nan
    errors: Mapping[str, float] = field(default_factory=dict)
    choice: Mapping[str, Any] | None = None

    @property
    def rows_per_s(self) -> float | None:
        """Points in a second; None for a contestant that cannot."""
        return self.rows / self.seconds if self.cannot is None else None


@dataclass
class _Compiled:
    """A compiled contestant: what it runs, and the seconds of each of its calls so far."""

    contestant: Contestant
    call: Batched
    points: jax.Array
    rounds: int
    calls: int
    slow: bool
    build_seconds: float
    compile_seconds: float
    errors: dict[str, float]
    seconds: list[float] = field(default_factory=list)

    def time_calls(self) -> None:
        self.seconds += [_timed(self.call, self.points)[0] for _ in range(self.calls)]

    def result(self) -> Result:
        return Result(
            rows=len(self.points),
            slow=self.slow,
            calls=len(self.seconds),
            seconds=median(self.seconds),
            build_seconds=self.build_seconds,
            compile_seconds=self.compile_seconds,
            errors=self.errors,
            choice=_choice(self.call),
        )


def time_network(
    network: BenchmarkNetwork,
    contestants: Sequence[Contestant],
    rounds: int = 5,
    rows_scale: float = 1.0,
    wrong: float = WRONG,
    deadline: float = math.inf,
) -> dict[str, Result]:
    """Time the contestants on a network, in float32; return {name: result}, in their order.

    All are compiled first. Then they take turns, round after round, each round beginning with
    another one, so that what the machine does besides hits all alike.

    Args:
        network: the network.
        contestants: the contestants, with distinct names.
        rounds: turns of each.
        rows_scale: times the network's own number of rows.
        wrong: the error above which a contestant is not timed.
        deadline: by `time.monotonic`. Contestants that would be compiled later are left out of the
            result, but for the first; so are turns, but for the first.
    """
    points = network.points(max(1, round(network.rows * rows_scale)))
    reference = reference_arrays(network, points[:CHECK_ROWS])
    results: dict[str, Result] = {}
    compiled: list[_Compiled] = []
    with numerics("float32"):
        fn = network.build("float32")
        for contestant in contestants:
            if contestant is not contestants[0] and time.monotonic() > deadline:
                break
            try:
                each = _compile_and_check(contestant, fn, points, rounds, reference)
            except Exception as error:  # whatever stops a contestant is its result
                first_line = (str(error).strip().splitlines() or ["no message"])[0]
                results[contestant.name] = Result(cannot=f"{type(error).__name__}: {first_line}")
                continue
            worst = max(each.errors, key=lambda name: each.errors[name])
            if each.errors[worst] > wrong:
                reason = f"wrong numbers: {worst} is off by {each.errors[worst]:.1g} of its largest"
                results[contestant.name] = Result(cannot=reason, errors=each.errors)
            else:
                compiled.append(each)
        for turn in range(rounds):
            if turn and time.monotonic() > deadline:
                break
            first = turn % max(len(compiled), 1)
            for each in compiled[first:] + compiled[:first]:
                if turn < each.rounds:
                    each.time_calls()
    results |= {each.contestant.name: each.result() for each in compiled}
    names = [contestant.name for contestant in contestants]
    return {name: results[name] for name in names if name in results}


def reference_arrays(network: BenchmarkNetwork, points: np.ndarray) -> dict[str, np.ndarray]:
    """Return value, jacobian, hessian_diag and laplacian by jvp of jvp, all in float64.

    They are computed on the CPU, where JAX has it beside another device.

    Args:
        network: the network; its function is built anew, for float64.
        points: (rows, n), float32.
    """
    with numerics("float64"), jax.default_device(reference_device()):
        call = jvp_of_jvp(network.build("float64"), network.n)
        value, jacobian, hessian_diag = map(np.asarray, call(points.astype(np.float64)))
    return {
        "value": value,
        "jacobian": jacobian,
        "hessian_diag": hessian_diag,
        "laplacian": hessian_diag.sum(axis=-1),
    }


def reference_device() -> jax.Device:
    """Return the CPU; where JAX is not to use it (`JAX_PLATFORMS=cuda`), the device that there is.

    Among several processes of JAX it is this one's.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error, of each output by its own largest magnitude; infinite for NaN.

    Args:
        actual, expected: (rows, m) or (rows, m, n); an output that is all zero counts absolutely.
    """
    others = tuple(axis for axis in range(expected.ndim) if axis != 1)
    magnitude = np.abs(expected).max(axis=others)
    error = np.abs(actual - expected).max(axis=others) / np.where(magnitude > 0, magnitude, 1)
    return float(error.max()) if np.isfinite(error).all() else math.inf


def _compile_and_check(
    contestant: Contestant,
    fn: Function,
    points: np.ndarray,
    rounds: int,
    reference: Mapping[str, np.ndarray],
) -> _Compiled:
    """Compile a contestant for as many rows as it can do in `SLOW_SECONDS`, and check it."""
    probe = jax.numpy.asarray(points[: max(1, len(points) // _PROBE_PART)])
    started = time.perf_counter()
    call = contestant.build(fn, points.shape[1])
    building = time.perf_counter() - started
    compiling, seconds, arrays = _first_and_next(call, probe)
    affordable = int(len(probe) * SLOW_SECONDS / seconds)
    slow = affordable < len(points)
    batch = jax.numpy.asarray(points[: max(len(probe), affordable)] if slow else points)
    if len(batch) != len(probe):
        try:
            compiling, seconds, arrays = _first_and_next(call, batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            batch, slow = probe, True
    rows = min(len(batch), CHECK_ROWS)
    return _Compiled(
        contestant=contestant,
        call=call,
        points=batch,
        rounds=min(rounds, _SLOW_ROUNDS) if slow else rounds,
        calls=max(1, math.ceil(_TURN_SECONDS / seconds)),
        slow=slow,
        build_seconds=building,
        compile_seconds=compiling,
        errors={
            name: relative_error(np.asarray(array[:rows], np.float64), reference[name][:rows])
            for name, array in zip(contestant.gives, arrays, strict=True)
        },
    )


def _first_and_next(call: Batched, points: jax.Array) -> tuple[float, float, Any]:
    """Return the seconds of compiling, those of a call, and the arrays that it gives."""
    first, _ = _timed(call, points)
    seconds, arrays = _timed(call, points)
    return max(0.0, first - seconds), seconds, arrays


def _timed(call: Callable[[Any], Any], points: jax.Array) -> tuple[float, Any]:
    """Return the seconds of a call, until its arrays are there, and the arrays."""
    started = time.perf_counter()
    arrays = jax.block_until_ready(call(points))
    return time.perf_counter() - started, arrays


def _choice(call: Batched) -> dict[str, Any] | None:
    """Return what a contestant says that it chose, as `method` and `tile`."""
    choice = getattr(call, "choice", None)
    if choice is None:
        return None
    return {name: getattr(choice, name, None) for name in ("method", "tile")}
