"""A whole run: plan, take the output folder, derive what is missing, publish, report."""

import contextlib
import logging
import time
from contextlib import ExitStack, closing

from hyperdiag.config.schema import Config
from hyperdiag.messages.errors import OutputError, Problems
from hyperdiag.messages.log import about, name_run
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import counted
from hyperdiag.process.signals import StopSignals

from .cluster.device import prepare_jax
from .monitoring.failures import Failures, check_bad_rows
from .monitoring.heartbeat_listener import HeartbeatListener
from .monitoring.monitor import Listener, Monitor
from .monitoring.progress import ShardLog, progress
from .monitoring.throughput import Throughput
from .monitoring.totals import Totals
from .outcome import Outcome
from .output.ledger import Ledger
from .output.manifest import Manifest, make_manifest
from .output.preconditions import as_usage_error
from .output.receipt import Failed, Receipt
from .output.warnings import warn_of_input
from .plan.planner import Planned, make_plan
from .report.after_run import check_report, report_after_run
from .workers.open_pool import open_pool
from .workers.pool import Pool

log = logging.getLogger("hyperdiag")


def derive(config: Config, config_yaml: str) -> Manifest:
    """Derive a dataset; return the manifest.

    Args:
        config: of the run.
        config_yaml: the same as text, kept in the output.

    Raises:
        UsageError: if it cannot be done as configured (nothing was started).
        Busy: if another run is at work in the output, or has taken it over.
        RunIncomplete: if shards failed, or too many rows are bad; the message says which.
        OutputError: if the output could not be written.
        Stopped: if SIGTERM or SIGINT came.
    """
    with Outcome(config) as outcome, StopSignals() as signals:
        prepare_jax(config)
        began = time.monotonic()
        planned = outcome.planned = _plan(config)
        name_run(planned.plan.digest)
        warn_of_input(planned)
        ledger = Ledger(config.output.path, planned.plan)
        try:
            with as_usage_error(config):
                ledger.open(config.output.mode, config_yaml, config.output.wait_seconds)
            outcome.inventory = ledger.inventory
            manifest = outcome.manifest = _complete(config, planned, ledger, signals, began)
        except OutputError:
            with contextlib.suppress(OutputError):
                ledger.confirm()  # else it is another run that is in the way
            raise
        finally:
            ledger.close()
        report_after_run(config)
        return manifest


def _plan(config: Config) -> Planned:
    """Return the plan, if all can be done that is configured.

    Raises:
        UsageError: with every problem that was found.
    """
    problems = Problems()
    problems.attempt(check_report, config)
    planned: Planned = problems.attempt(make_plan, config)
    problems.check()
    return planned


def _complete(
    config: Config, planned: Planned, ledger: Ledger, signals: StopSignals, began: float
) -> Manifest:
    """Derive what is missing in the output, and publish it; return the manifest."""
    inventory = ledger.inventory
    manifest = ledger.up_to_date(planned.bad_files)
    if manifest is not None:
        check_bad_rows(config, inventory.tally)
        log.info("everything is done already: %s", masked(config.output.path))
        return manifest
    _log_plan(config, planned, ledger)
    totals, failures = Totals(), Failures(inventory, ledger.plan)
    throughput = Throughput()
    with (
        HeartbeatListener(ledger, planned.rows, signals) as heartbeat,
        ExitStack() as until_published,  # the end of a pool may take its time, or hang
    ):
        if inventory.count < inventory.shards:
            ledger.begin()
            emitted = _metrics(config, planned)
            listeners = [totals, throughput, failures, ShardLog(), *emitted, progress(), heartbeat]
            monitor = Monitor(inventory, planned.rows, began, listeners)
            pool = until_published.enter_context(
                closing(open_pool(config, ledger.plan, ledger.work_path, ledger.fence))
            )
            _derive_missing(pool, ledger, monitor, failures, signals)
            failures.check()
        check_bad_rows(config, inventory.tally)
        ledger.gather()
        manifest = make_manifest(planned, inventory, totals.work, config.output.path)
        ledger.publish(manifest)
        throughput.save(ledger.output, ledger.plan.digest)
    return manifest


def _derive_missing(
    pool: Pool, ledger: Ledger, monitor: Monitor, failures: Failures, signals: StopSignals
) -> None:
    """Derive the shards that are missing, as far as that can be done."""
    signals.check()  # of a signal that came while Ray started
    pool.start()
    try:
        monitor.started(pool)
        for result in pool.outcomes(ledger.inventory.missing(ledger.plan)):
            if isinstance(result, Receipt):
                ledger.record(result)
                monitor.done(result)
            elif isinstance(result, Failed):
                monitor.failed(result)
            monitor.tick()
            signals.check()
            ledger.check()
            if failures.all_will_fail():
                break
    finally:
        monitor.ended()


def _metrics(config: Config, planned: Planned) -> list[Listener]:
    """Return what emits metrics, where somebody may collect them: on a cluster."""
    if config.cluster.name != "existing":
        return []
    from .monitoring.metrics import Metrics  # late: without Ray, inline still works

    return [Metrics(planned.plan.digest, config.network.name)]


def _log_plan(config: Config, planned: Planned, ledger: Ledger) -> None:
    inventory = ledger.inventory
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
