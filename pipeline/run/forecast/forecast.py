"""What a run would do, how long it would take and how much it would write: foretold, not done."""

import time
from collections.abc import Sequence
from shutil import disk_usage
from typing import Any, NamedTuple

from hyperdiag.config.schema import Config, ParquetConfig
from hyperdiag.data.filesystem import nearest
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import by_code
from hyperdiag.process.signals import Stoppable
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.lock import is_locked
from hyperdiag.run.output.preconditions import as_usage_error
from hyperdiag.run.plan.planner import Planned, make_plan

from .probe import Probe, Shards, WrittenFile, busiest_rows, probe

START, RESUME, UPDATE, OVERWRITE = "start", "resume", "update", "overwrite"
FINISHED, LOCKED, REFUSED = "finished", "locked", "refused"
# Beside the configured number of workers.
_WORKERS = (1, 2, 8, 32)
# Nobody sees his own end: a process that took 1.9 s of a core to launch took 0.7 s to exit.
_EXIT_SHARE = 0.4
_NOTHING = dict.fromkeys(
    ("shards", "rows", "bytes_in", "rows_derived", "rows_quarantined", "bytes_out"), 0
)


class Price(NamedTuple):
    """What work costs.

    Attributes:
        per_worker_hour: of one worker; None where that is not known.
        currency: that it is in.
    """

    per_worker_hour: float | None
    currency: str


def forecast(config: Config, price: Price, launch_seconds: float) -> dict[str, Any]:
    """Return what `derive` would do with a configuration, having done none of it.

    Rows are derived by the run's own workers for some seconds, into a temporary folder. The keys
    are always the same; None stands where there is nothing to measure.

    Args:
        config: of the run.
        price: of the work.
        launch_seconds: from the start of a process to its configuration.

    Raises:
        UsageError: with all that `derive` would refuse in the configuration and the dataset. A
            refusal of the output folder is in what is returned.
        RunIncomplete: if none of the rows that were tried could be derived.
        Stopped: if SIGTERM or SIGINT came.
    """
    with Stoppable("nothing was written") as stoppable:
        prepare_jax(config)
        began = time.monotonic()
        planned = make_plan(config)
        plan = planned.plan
        ledger = Ledger(config.output.path, plan)
        output = _output(config, planned, ledger)
        seconds = {
            "launch": launch_seconds,
            "planning": time.monotonic() - began - planned.tuning_seconds,
        }
        work, measured = _NOTHING, None
        times: list[dict[str, Any]] = []
        notes: list[str] = []
        if output["state"] in (START, RESUME, UPDATE, OVERWRITE):
            shards = Shards(plan, ledger.inventory)
            work = work | _work(planned, ledger, shards)
            if shards.total:
                found = probe(config, plan, shards, stoppable)
                seconds |= {"start": found.start_seconds, "end": found.end_seconds}
                seconds["exit"] = _EXIT_SHARE * launch_seconds
                work = work | _result(found, shards)
                measured = _measured(found)
                times = _times(config, found, shards, sum(seconds.values()), price)
                notes = _notes(config, ledger, found, work["bytes_out"])
    kernel = plan.kernel
    return {
        "plan": plan.digest,
        "network": plan.network.name,
        "method": {
            key: getattr(kernel, key) for key in ("method", "tile", "batch", "dtype", "device")
        },
        "input": _input(config, planned),
        "output": output,
        "work": work,
        "probe": measured,
        "seconds": {**dict.fromkeys(("start", "end", "exit")), **seconds},
        "times": times,
        "currency": price.currency,
        "notes": notes,
    }


def _output(config: Config, planned: Planned, ledger: Ledger) -> dict[str, Any]:
    """Return what would become of the output folder, and why."""
    found: dict[str, Any] = {
        "path": masked(ledger.path),
        "state": START,
        "problems": [],
        "changes": [],
        "shards_done": 0,
        "rows_done": 0,
    }
    held = ledger.holds_a_plan()
    try:
        with as_usage_error(config):
            found["changes"] = ledger.look(config.output.mode)
    except UsageError as error:
        state = LOCKED if is_locked(ledger.output) else REFUSED
        return found | {"state": state, "problems": list(error.problems)}
    inventory = ledger.inventory
    found |= {"shards_done": inventory.count, "rows_done": inventory.tally.read}
    if config.output.mode == "overwrite":
        state = OVERWRITE
    elif ledger.up_to_date(planned.bad_files) is not None:
        state = FINISHED
    else:
        state = UPDATE if found["changes"] else RESUME
    return found | {"state": state if held else START}


def _input(config: Config, planned: Planned) -> dict[str, Any]:
    dataset, files = config.dataset, planned.plan.files
    return {
        "path": masked(dataset.location) if isinstance(dataset, ParquetConfig) else None,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "rows": planned.rows,
        "columns": planned.plan.source.schema.names,
        "bad_files": [file._asdict() for file in planned.bad_files],
    }


def _work(planned: Planned, ledger: Ledger, shards: Shards) -> dict[str, Any]:
    """Return what is to be done; all columns of a file are read, so that bytes follow from rows."""
    row_bytes = {
        file.path: file.size / max(sum(file.row_group_rows), 1) for file in planned.plan.files
    }
    missing = ledger.inventory.missing(planned.plan)
    read = sum(row_bytes[shard.file.path] * shard.rows for shard in missing if shard.file)
    return {"shards": int(shards.rows.size), "rows": shards.total, "bytes_in": round(read)}


def _result(found: Probe, shards: Shards) -> dict[str, int]:
    """Return what would be written, from what was: rows by their number, the rest by files."""
    share = shards.total / found.tally.read
    derived, bad = found.tally.derived * share, found.tally.bad * share
    around = sum(file.bytes - file.row_bytes for file in found.data) / len(found.data)
    size = derived * _row_bytes(found.data) + around * shards.rows.size
    if found.quarantine:
        size += (
            bad
            * sum(file.bytes for file in found.quarantine)
            / sum(file.rows for file in found.quarantine)
        )
    return {
        "rows_derived": round(derived),
        "rows_quarantined": round(bad),
        "bytes_out": round(size),
    }


def _row_bytes(files: Sequence[WrittenFile]) -> float:
    return sum(file.row_bytes for file in files) / max(sum(file.rows for file in files), 1)


def _measured(found: Probe) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "seconds": found.seconds,
        "workers": found.workers,
        "rows_per_s": found.rows / found.seconds,
        "rows_per_s_per_worker": found.rows_per_s,
        "worker_bytes": found.worker_bytes,
        "quarantined": dict(sorted(found.tally.quarantined.items())),
        "failures": found.failures,
    }


def _times(
    config: Config, found: Probe, shards: Shards, around: float, price: Price
) -> list[dict[str, Any]]:
    """Return the time of the run for the workers that it has, and for other numbers of them.

    `around` are the seconds before and after the work on shards.
    """
    numbers = {found.workers}
    if config.cluster.name != "inline":
        numbers |= {*_WORKERS, config.cluster.workers or found.workers}
    times = []
    for workers in sorted(numbers):
        total = around + busiest_rows(shards.rows, workers) / found.rows_per_s
        hours = workers * total / 3600
        times.append(
            {
                "workers": workers,
                "configured": workers == found.workers,
                "seconds": total,
                "worker_hours": hours,
                "cost": price.per_worker_hour and hours * price.per_worker_hour,
            }
        )
    return times


def _notes(config: Config, ledger: Ledger, found: Probe, bytes_out: int) -> list[str]:
    notes = []
    tally, most = found.tally, config.limits.max_bad_fraction
    if tally.bad_fraction > most:
        notes.append(
            f"{tally.bad:,} of the {tally.tried:,} rows of the probe are bad "
            f"({by_code(tally.quarantined)}): a run with as many would end incomplete "
            f"(limits.max_bad_fraction={most:g})"
        )
    if found.failures:
        notes.append(
            f"{len(found.failures)} parts of the probe failed, as the run's shards may: "
            f"{found.failures[0]}"
        )
    if ledger.output.is_local:
        free = disk_usage(nearest(ledger.output)).free
        if free < bytes_out:
            notes.append(f"there are {free:,} bytes free for what would be written")
    else:
        notes.append(
            "the probe writes to this machine or its node: sending the output is not timed"
        )
    return notes
