"""A whole run: plan, take the output folder, derive what is missing, publish."""

import datetime
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Sequence
from types import FrameType
from typing import Any

import jax

from pipeline.config import Config
from pipeline.data.filesystem import absolute, masked
from pipeline.errors import OutputError, RunIncomplete, UsageError

from .inventory import Inventory
from .ledger import Ledger
from .own_modules import own_modules
from .planner import Planned, make_plan
from .pool import InlinePool, Pool
from .progress import Meter, duration, shown
from .receipt import Receipt, Tally
from .shard_queue import Failed
from .worker import SINGLE_THREADED, STAGES

log = logging.getLogger("hyperdiag")

# The part of rows from which on an output without curvature on them is worth a word.
_MANY_FLAT_ROWS = 0.1


class Stopped(BaseException):
    """A signal asked the run to stop; finished shards are kept."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def derive(config: Config, config_yaml: str) -> dict[str, Any]:
    """Derive a dataset; return the manifest.

    Args:
        config: of the run.
        config_yaml: the same as text, kept in the output.

    Raises:
        UsageError: if it cannot be done as configured (nothing was started).
        RunIncomplete: if shards failed, or too many rows are bad; the message says which.
        OutputError: if the output could not be written.
        Stopped: if SIGTERM or SIGINT came.
    """
    with _Stoppable() as stoppable:
        prepare_jax(config)
        started = time.monotonic()
        planned = make_plan(config)
        ledger = Ledger(config.output.path, planned.plan)
        try:
            try:
                ledger.open(config.output.mode, config_yaml)
            except OutputError as error:  # before the start, it is the configuration's fault
                raise UsageError(f"output.path {config.output.path}: {error}") from error
            now = datetime.datetime.now(datetime.UTC)
            ledger.sign_lock(f"process {os.getpid()} on {socket.gethostname()}, since {now:%F %T}Z")
            return _fill(config, planned, ledger, started, stoppable)
        finally:
            ledger.close()


def prepare_jax(config: Config) -> None:
    """Keep the driver off the devices that belong to the workers, which may be itself."""
    os.environ.update(SINGLE_THREADED)
    if config.cluster.name != "inline":
        jax.config.update("jax_platforms", "cpu")


def open_pool(config: Config, ledger: Ledger) -> Pool:
    """Return the pool of workers that configuration asks for."""
    if config.cluster.name == "inline":
        return InlinePool(config.limits, ledger.plan, ledger.work_path)
    from .ray_pool import RayPool  # late: without Ray, inline still works

    modules = own_modules(config) if config.cluster.name == "existing" else []
    return RayPool(config.cluster, config.limits, ledger.plan, ledger.work_path, modules)


def _fill(
    config: Config, planned: Planned, ledger: Ledger, started: float, stoppable: "_Stoppable"
) -> dict[str, Any]:
    inventory = ledger.inventory
    manifest = ledger.up_to_date()
    if manifest is not None:
        _check_bad_rows(config, inventory.tally)
        log.info("everything is done already: %s", config.output.path)
        return manifest
    log.info(
        "plan %s: %s rows in %s shards%s, to %s",
        ledger.plan.digest,
        f"{planned.rows:,}",
        f"{inventory.shards:,}",
        f", {inventory.count:,} of them done before" if inventory.count else "",
        config.output.path,
    )
    seconds: dict[str, Any] = {"start": 0.0, "work": 0.0, "rows": 0, "stages": {}}
    workers = 0
    if inventory.count < inventory.shards:
        ledger.begin()
        before = inventory.tally.read
        pool = open_pool(config, ledger)
        try:
            stoppable.listen()  # Ray has put a handler of its own in the place of ours
            pool.start()
            workers = pool.workers
            seconds["start"] = time.monotonic() - started
            log.info("%d workers ready after %s", workers, duration(seconds["start"]))
            began = time.monotonic()
            failures, stages = _work(pool, ledger, planned.rows)
            seconds["work"] = time.monotonic() - began
        finally:
            pool.close()
        seconds["rows"] = inventory.tally.read - before
        seconds["stages"] = {stage: round(stages[stage], 3) for stage in STAGES}
        if failures:
            raise RunIncomplete(_what_is_missing(failures, inventory.shards))
    _check_bad_rows(config, inventory.tally)
    manifest = _manifest(config, planned, inventory, workers, seconds)
    ledger.publish(manifest)
    return manifest


def _check_bad_rows(config: Config, tally: Tally) -> None:
    if tally.read and tally.bad / tally.read > config.limits.max_bad_fraction:
        raise RunIncomplete(
            f"{tally.bad:,} of {tally.read:,} rows are bad ({dict(tally.quarantined)}), more than "
            f"limits.max_bad_fraction={config.limits.max_bad_fraction:g}: look into "
            f"{config.output.path}/quarantine; a larger limit and the same command publish the run"
        )


def _work(pool: Pool, ledger: Ledger, rows: int) -> tuple[list[Failed], Counter[str]]:
    """Derive what is missing; return the shards that failed for good, and seconds by stage."""
    failures: list[Failed] = []
    stages: Counter[str] = Counter()
    inventory = ledger.inventory
    meter = Meter(rows, inventory.tally.read, pool.workers)
    with shown(meter) as display:
        for outcome in pool.outcomes(inventory.missing(ledger.plan)):
            if isinstance(outcome, Receipt):
                ledger.record(outcome)
                stages.update(outcome.seconds)
            elif isinstance(outcome, Failed):
                failures.append(outcome)
            rows_done = inventory.tally.read + pool.rows_under_way()
            meter.update(rows_done, inventory.tally.bad)
            display.show(meter)
    return failures, stages


def _what_is_missing(failures: Sequence[Failed], shards: int) -> str:
    lines = [
        f"shard {failed.shard.id} (rows from {failed.shard.first_row}, "
        f"{failed.attempts} attempts): {failed.cause}"
        for failed in failures[:5]
    ]
    more = f"\nand {len(failures) - 5} more" if len(failures) > 5 else ""
    return (
        f"{len(failures)} of {shards} shards failed; the others are kept, and the same command "
        "tries these again:\n" + "\n".join(lines) + more
    )


def _manifest(
    config: Config,
    planned: Planned,
    inventory: Inventory,
    workers: int,
    seconds: dict[str, Any],
) -> dict[str, Any]:
    tally = inventory.tally
    settings = planned.plan.settings
    network, how = settings["network"], settings["derivatives"]
    return {
        "plan": planned.plan.digest,
        "network": {key: network[key] for key in ("name", "digest", "inputs", "outputs")},
        "method": how["method"],
        "dtype": how["dtype"],
        "directions": how["directions"],
        "outputs": how["outputs"],
        "layout": settings["output"]["layout"],
        "output": masked(absolute(config.output.path)),
        "shards": inventory.shards,
        "rows": tally.to_dict(),
        "bad_files": [file._asdict() for file in planned.bad_files],
        "tolerance": how["tolerance"],
        "warnings": _warnings(network["outputs"], tally, planned),
        "workers": workers,
        "seconds": seconds,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": settings["versions"],
    }


def _warnings(outputs: list[str], tally: Tally, planned: Planned) -> list[str]:
    warnings = []
    shares = {
        name: count / tally.derived
        for name, count in zip(outputs, tally.flat, strict=False)
        if count and tally.derived
    }
    flat = [name for name, share in shares.items() if share == 1]
    if flat:
        warnings.append(
            f"the Hessian diagonal of {', '.join(flat)} is zero everywhere: such outputs are "
            "piecewise linear (ReLU, clipping), and these zeros are no curvature of what they model"
        )
    plateaus = [f"{n} ({s:.0%})" for n, s in shares.items() if _MANY_FLAT_ROWS <= s < 1]
    if plateaus:
        warnings.append(
            f"the Hessian diagonal is zero for every input on many rows of {', '.join(plateaus)}: "
            "plateaus, where the network is clipped or saturated"
        )
    if tally.at_kinks:
        warnings.append(
            f"{tally.at_kinks:,} of {tally.verified:,} verified rows lie where derivatives jump "
            "within rounding of the point: there the network is not differentiable, and what is "
            "written is the derivative on one side"
        )
    if tally.largest_error > planned.plan.settings["derivatives"]["tolerance"] / 10:
        warnings.append(
            f"the largest rounding error of verified rows is {tally.largest_error:.1e} of the "
            "largest there (saturated activations, cancelling terms): take "
            "derivatives.dtype=float64 for more digits"
        )
    for file in planned.bad_files:
        warnings.append(f"left out: {file.path}: {file.reason}")
    return warnings


class _Stoppable:
    """Turns SIGTERM and SIGINT into `Stopped`, as long as the block lasts."""

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> "_Stoppable":
        self._before = {number: signal.getsignal(number) for number in self._SIGNALS}
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, from whoever has them."""
        for number in self._SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Once is enough: closing down must not be interrupted by the second signal.
        for each in self._SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)
