"""A whole run: plan, take the output folder, derive what is missing, publish."""

import datetime
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import below
from hyperdiag.data.output_folder import QUARANTINE
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.messages.log import about, name_run
from hyperdiag.messages.masking import masked, masked_text
from hyperdiag.messages.wording import by_code, counted, duration
from hyperdiag.process.signals import Stoppable, Stopped
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.output.preconditions import as_usage_error
from hyperdiag.run.output.receipt import Failed
from hyperdiag.run.workers.open_pool import open_pool
from hyperdiag.run.workers.pool import Pool

from .outcome import Outcome
from .output.cautions import warn_of_bad_files
from .output.heartbeat import DONE, INCOMPLETE, STOPPED, Heartbeat
from .output.inventory import Inventory
from .output.ledger import Ledger
from .output.manifest import Manifest, Work, make_manifest
from .output.receipt import Receipt, Tally
from .plan.planner import Planned, make_plan
from .progress import Meter, log_done, shown

if TYPE_CHECKING:
    from .metrics import Metrics

log = logging.getLogger("hyperdiag")

# Shards given up one after another, of as many files, from which on the cause is taken to be the
# same for all.
_MOST_FAILURES_IN_A_ROW = 10


def derive(config: Config, config_yaml: str) -> Manifest:
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
    with Outcome(config) as finish, Stoppable() as stoppable:
        prepare_jax(config)
        started = time.monotonic()
        planned = finish.planned = make_plan(config)
        name_run(planned.plan.digest)
        warn_of_bad_files(planned)
        ledger = Ledger(config.output.path, planned.plan)
        try:
            with as_usage_error(config):
                ledger.open(config.output.mode, config_yaml)
            now = datetime.datetime.now(datetime.UTC)
            ledger.sign_lock(f"process {os.getpid()} on {socket.gethostname()}, since {now:%F %T}Z")
            finish.inventory = ledger.inventory
            finish.manifest = _fill(config, planned, ledger, started, stoppable)
            return finish.manifest
        finally:
            ledger.close()


def _fill(
    config: Config, planned: Planned, ledger: Ledger, started: float, stoppable: Stoppable
) -> Manifest:
    inventory = ledger.inventory
    manifest = ledger.up_to_date(planned.bad_files)
    if manifest is not None:
        _check_bad_rows(config, inventory.tally)
        log.info("everything is done already: %s", masked(config.output.path))
        return manifest
    log.info(
        "plan %s: %s in %s%s, to %s",
        ledger.plan.digest,
        counted(planned.rows, "row"),
        counted(inventory.shards, "shard"),
        f", {inventory.count:,} of them done before" if inventory.count else "",
        masked(config.output.path),
        extra=about(
            rows_planned=planned.rows,
            shards_planned=inventory.shards,
            shards_done=inventory.count,
            network=config.network.name,
        ),
    )
    work = Work()
    pulse = Heartbeat(ledger.output)
    pulse.update(shards=inventory.shards, rows=planned.rows, shards_done=inventory.count)
    pulse.start()
    state, cause = INCOMPLETE, None
    try:
        if inventory.count < inventory.shards:
            ledger.begin()
            _work(config, planned, ledger, work, pulse, started, stoppable)
        _check_bad_rows(config, inventory.tally)
        manifest = make_manifest(planned, inventory, work, config.output.path)
        ledger.publish(manifest)
        state = DONE
    except Stopped:
        state = STOPPED
        raise
    except Exception as error:
        if stoppable.stopped:  # Ray may have turned it into this
            state = STOPPED
        else:
            cause = masked_text(str(error).partition("\n")[0])
        raise
    finally:
        failed = [[one.shard.id, one.cause] for one in work.failures]
        pulse.stop(state, shards_done=inventory.count, failed=failed, cause=cause)
    return manifest


def _work(
    config: Config,
    planned: Planned,
    ledger: Ledger,
    work: Work,
    pulse: Heartbeat,
    started: float,
    stoppable: Stoppable,
) -> None:
    """Derive what is missing.

    Raises:
        RunIncomplete: if shards were given up.
    """
    pool = open_pool(config, ledger.plan, ledger.work_path)
    try:
        stoppable.listen()  # Ray has put a handler of its own in the place of ours
        pool.start()
        work.workers = pool.workers
        work.start_seconds = time.monotonic() - started
        log.info(
            "%s ready after %s",
            *(counted(work.workers, "worker"), duration(work.start_seconds)),
            extra=about(workers=work.workers, seconds=round(work.start_seconds, 3)),
        )
        began = time.monotonic()
        metrics = _metrics(config, planned, ledger.inventory)
        in_a_row = _derive_missing(pool, ledger, planned.rows, work, pulse, stoppable, metrics)
        work.seconds = time.monotonic() - began
    finally:
        pool.close()
    if work.failures:
        raise RunIncomplete(_what_is_missing(work.failures, ledger.inventory, in_a_row))


def _metrics(config: Config, planned: Planned, inventory: Inventory) -> "Metrics | None":
    """Return what emits metrics, where somebody may collect them: on a cluster."""
    if config.cluster.name != "existing":
        return None
    from .metrics import Metrics  # late: without Ray, inline still works

    metrics = Metrics(planned.plan.digest, config.network.name)
    metrics.begin(planned.rows, inventory.tally.read, inventory.shards, inventory.count)
    return metrics


def _derive_missing(
    pool: Pool,
    ledger: Ledger,
    rows: int,
    work: Work,
    pulse: Heartbeat,
    stoppable: Stoppable,
    metrics: "Metrics | None",
) -> int:
    """Derive shards; return after how many failures in a row the run stopped early, 0 if not."""
    inventory = ledger.inventory
    meter = Meter(rows, inventory.tally.read, pool.workers)
    in_a_row: list[Shard] = []  # that were given up
    worker_seconds, last = 0.0, time.monotonic()
    with shown(meter) as display:
        for outcome in pool.outcomes(inventory.missing(ledger.plan)):
            if isinstance(outcome, Receipt):
                ledger.record(outcome)
                work.add(outcome)
                log_done(outcome)
                in_a_row.clear()
            elif isinstance(outcome, Failed):
                work.failures.append(outcome)
                in_a_row.append(outcome.shard)
            if metrics:
                if outcome is not None:
                    metrics.add(outcome)
                now = time.monotonic()
                worker_seconds += pool.workers * (now - last)
                last = now
                share = work.stages["compute"] / worker_seconds if worker_seconds else 0.0
                metrics.observe(inventory.tally.read, pool.workers, pool.retries, share)
            stoppable.check()
            meter.workers = pool.workers
            rows_done = inventory.tally.read + pool.rows_under_way()
            meter.update(rows_done, inventory.tally.bad)
            display.show(meter)
            pulse.update(
                shards_done=inventory.count,
                rows_done=meter.rows,
                rows_per_s=round(meter.rate),
                workers=meter.workers,
                quarantined=dict(inventory.tally.quarantined),
                failed=[[one.shard.id, one.cause] for one in work.failures],
            )
            if _all_fail(in_a_row, inventory.missing(ledger.plan)):
                return len(in_a_row)
    return 0


def _all_fail(failed: Sequence[Shard], missing: Iterator[Shard]) -> bool:
    """Tell whether so many shards were given up in a row that the others would be, too.

    One damaged file says nothing of the others.
    """
    if len(failed) < _MOST_FAILURES_IN_A_ROW:
        return False
    files = {_path(shard) for shard in failed}
    return len(files) >= _MOST_FAILURES_IN_A_ROW or all(_path(shard) in files for shard in missing)


def _path(shard: Shard) -> str | None:
    return shard.file.path if shard.file else None


def _check_bad_rows(config: Config, tally: Tally) -> None:
    if tally.bad_fraction > config.limits.max_bad_fraction:
        raise RunIncomplete(
            f"{tally.bad:,} of {tally.tried:,} rows are bad ({by_code(tally.quarantined)}), more "
            f"than limits.max_bad_fraction={config.limits.max_bad_fraction:g}: look into "
            f"{masked(below(config.output.path, QUARANTINE))}; a larger limit and the same command "
            "publish the run"
        )


def _what_is_missing(failures: Sequence[Failed], inventory: Inventory, in_a_row: int) -> str:
    lines = [
        f"shard {failed.shard.id} ({_where(failed.shard)}, "
        f"{counted(failed.attempts, 'attempt')}): {failed.cause}"
        for failed in failures[:5]
    ]
    more = f"\nand {len(failures) - 5} more" if len(failures) > 5 else ""
    early = (
        f" (the last {in_a_row} without one success between them, so the run "
        f"stopped there; {inventory.count} are done)"
        if in_a_row
        else ""
    )
    return (
        f"{len(failures)} of {counted(inventory.shards, 'shard')} failed{early}; the others are "
        "kept, and the same command tries these again:\n" + "\n".join(lines) + more
    )


def _where(shard: Shard) -> str:
    rows = f"rows {shard.first_row} to {shard.first_row + shard.rows - 1}"
    return f"{rows} of {shard.file.path}" if shard.file else rows
