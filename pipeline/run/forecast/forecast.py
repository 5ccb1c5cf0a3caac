"""What a run would do, how long it would take and how much it would write: foretold, not done."""

import time
from collections.abc import Sequence
from dataclasses import replace
from shutil import disk_usage
from typing import NamedTuple

from hyperdiag.config.schema import Config, ParquetConfig
from hyperdiag.data.filesystem import nearest
from hyperdiag.messages.errors import Busy, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import by_code, size
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.preconditions import as_usage_error
from hyperdiag.run.plan.planner import Planned, make_plan
from hyperdiag.run.report.after_run import check_report

from .parts import bytes_again, notes_on_shards
from .probe import Probe, Shards, WrittenFile, busiest_rows, probe
from .result import (
    FINISHED,
    LOCKED,
    OVERWRITE,
    REFUSED,
    RESUME,
    START,
    UPDATE,
    Estimate,
    Forecast,
    Input,
    Kernel,
    Measurement,
    Output,
    Overhead,
    Workload,
)

# Beside the configured number of workers.
_WORKERS = (1, 2, 8, 32)
# Nobody sees his own end: a process that took 1.9 s of a core to launch took 0.7 s to exit.
_EXIT_SHARE = 0.4


class Price(NamedTuple):
    """What work costs.

    Attributes:
        per_worker_hour: of one worker; None where that is not known.
        currency: that it is in.
    """

    per_worker_hour: float | None
    currency: str


def forecast(config: Config, price: Price, launch_seconds: float) -> Forecast:
    """Return what `derive` would do with a configuration, having done none of it.

    Rows are derived by the run's own workers for some seconds, into a temporary folder.

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
    with StopSignals("nothing was written") as signals:
        prepare_jax(config)
        began = time.monotonic()
        check_report(config)
        planned = make_plan(config)
        plan = planned.plan
        ledger = Ledger(config.output.path, plan)
        output = _output(config, planned, ledger)
        planning = time.monotonic() - began - planned.tuning_seconds
        overhead = Overhead(None, None, None, launch_seconds, planning)
        work, measurement = Workload(), None
        times: list[Estimate] = []
        notes = list(planned.rounded_inputs)
        if planned.least_bytes:
            notes.append(
                f"each worker needs {size(planned.least_bytes)} of memory at least, by XLA's "
                "account, for the fewest rows that it takes at once"
            )
        if output.state in (START, RESUME, UPDATE, OVERWRITE):
            shards = Shards(plan, ledger.inventory)
            work = _work(planned, ledger, shards)
            if shards.total:
                probed = probe(config, plan, shards, signals)
                overhead = replace(
                    overhead,
                    start=probed.start_seconds,
                    end=probed.end_seconds,
                    exit=_EXIT_SHARE * launch_seconds,
                )
                work = _with_results(work, probed)
                again = bytes_again(plan, ledger.inventory, probed.readers)
                work = replace(work, bytes_in=work.bytes_in + again)
                measurement = _measurement(probed)
                times = _times(config, probed, shards, overhead.total, price)
                notes += _notes(config, ledger, probed, work.bytes_out)
                notes += notes_on_shards(config, plan, shards, times, again)
    kernel = plan.kernel
    return Forecast(
        plan=plan.digest,
        network=plan.network.name,
        kernel=Kernel(
            kernel.method,
            kernel.tile,
            kernel.batch,
            kernel.dtype,
            kernel.device,
            kernel.precision,
        ),
        input=_input(config, planned),
        output=output,
        work=work,
        probe=measurement,
        seconds=overhead,
        times=times,
        currency=price.currency,
        notes=notes,
    )


def _output(config: Config, planned: Planned, ledger: Ledger) -> Output:
    """Return what would become of the output folder, and why."""
    path = masked(ledger.path)
    had_plan = ledger.holds_a_plan()
    try:
        with as_usage_error(config):
            changes = ledger.look(config.output.mode)
    except Busy as error:
        return Output(path, LOCKED, [str(error)], [], 0, 0)
    except UsageError as error:
        return Output(path, REFUSED, list(error.problems), [], 0, 0)
    if not had_plan:
        state = START
    elif config.output.mode == "overwrite":
        state = OVERWRITE
    elif ledger.up_to_date(planned.bad_files) is not None:
        state = FINISHED
    else:
        state = UPDATE if changes else RESUME
    inventory = ledger.inventory
    return Output(path, state, [], changes, inventory.count, inventory.tally.read)


def _input(config: Config, planned: Planned) -> Input:
    dataset, files = config.dataset, planned.plan.files
    return Input(
        path=masked(dataset.location) if isinstance(dataset, ParquetConfig) else None,
        files=len(files),
        bytes=sum(file.size for file in files),
        rows=planned.rows,
        columns=planned.plan.source.schema.names,
        bad_files=planned.bad_files,
    )


def _work(planned: Planned, ledger: Ledger, shards: Shards) -> Workload:
    """Return what is to be done; all columns of a file are read, so that bytes follow from rows."""
    row_bytes = {
        file.path: file.size / max(sum(file.row_group_rows), 1) for file in planned.plan.files
    }
    missing = ledger.inventory.missing(planned.plan)
    read = sum(row_bytes[shard.file.path] * shard.rows for shard in missing if shard.file)
    return Workload(shards=int(shards.rows.size), rows=shards.total, bytes_in=round(read))


def _with_results(work: Workload, probed: Probe) -> Workload:
    """Return the workload with what would be written, scaled up from what the probe wrote."""
    share = work.rows / probed.tally.read
    derived, bad = probed.tally.derived * share, probed.tally.bad * share
    around = sum(file.bytes - file.row_bytes for file in probed.data) / len(probed.data)
    size = derived * _row_bytes(probed.data) + around * work.shards
    if probed.quarantine:
        size += (
            bad
            * sum(file.bytes for file in probed.quarantine)
            / sum(file.rows for file in probed.quarantine)
        )
    return replace(
        work, rows_derived=round(derived), rows_quarantined=round(bad), bytes_out=round(size)
    )


def _row_bytes(files: Sequence[WrittenFile]) -> float:
    return sum(file.row_bytes for file in files) / max(sum(file.rows for file in files), 1)


def _measurement(probed: Probe) -> Measurement:
    return Measurement(
        rows=probed.rows,
        seconds=probed.seconds,
        workers=probed.workers,
        rows_per_s=probed.rows / probed.seconds,
        rows_per_s_per_worker=probed.rows_per_s_per_worker,
        worker_bytes=probed.worker_bytes,
        quarantined=dict(sorted(probed.tally.quarantined.items())),
        failures=probed.failures,
    )


def _times(
    config: Config, probed: Probe, shards: Shards, overhead: float, price: Price
) -> list[Estimate]:
    """Return the time of the run for the workers that it has, and for other numbers of them.

    `overhead` are the seconds before and after the work on shards.
    """
    numbers = {probed.workers}
    if config.cluster.name != "inline":
        numbers |= {*_WORKERS, config.cluster.workers or probed.workers}
    times = []
    for workers in sorted(numbers):
        total = overhead + busiest_rows(shards.rows, workers) / probed.rows_per_s_per_worker
        hours = workers * total / 3600
        cost = price.per_worker_hour and hours * price.per_worker_hour
        times.append(Estimate(workers, workers == probed.workers, total, hours, cost))
    return times


def _notes(config: Config, ledger: Ledger, probed: Probe, bytes_out: int) -> list[str]:
    notes = []
    tally, most = probed.tally, config.limits.max_bad_fraction
    if tally.bad_fraction > most:
        notes.append(
            f"{tally.bad:,} of the {tally.tried:,} rows of the probe are bad "
            f"({by_code(tally.quarantined)}): a run with as many would end incomplete "
            f"(limits.max_bad_fraction={most:g})"
        )
    if probed.failures:
        notes.append(
            f"{len(probed.failures)} parts of the probe failed, as the run's shards may: "
            f"{probed.failures[0]}"
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
