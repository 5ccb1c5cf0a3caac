"""How far a run is, for people: a live line on a terminal, plain log lines elsewhere."""

import logging
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hyperdiag.messages.log import about, is_json
from hyperdiag.messages.wording import by_code, counted, duration
from hyperdiag.run.output.receipt import Receipt

from .monitor import Listener, Snapshot

log = logging.getLogger("hyperdiag")

_LOG_SECONDS = 10.0  # between log lines where there is no terminal


def progress() -> Listener:
    """Return what shows progress on standard error: a bar on a terminal, else log lines."""
    console = Console(stderr=True)
    return ProgressLines() if is_json() or not console.is_terminal else ProgressBar(console)


class ProgressLines(Listener):
    """A log line now and then."""

    def started(self, snapshot: Snapshot) -> None:
        """Let the time to the first line begin."""
        self._last = time.monotonic()

    def tick(self, snapshot: Snapshot) -> None:
        """Log a line if it is time."""
        if time.monotonic() - self._last < _LOG_SECONDS:
            return
        self._last = time.monotonic()
        bad = sum(snapshot.quarantined.values())
        log.info(
            "%s of %s rows (%.0f%%), %s rows/s, %s left, %s, %s quarantined",
            f"{snapshot.rows_read:,}",
            f"{snapshot.rows:,}",
            100 * snapshot.rows_read / max(snapshot.rows, 1),
            f"{snapshot.rows_per_s:,.0f}",
            duration(snapshot.seconds_left),
            counted(snapshot.workers, "worker"),
            f"{bad:,}",
            extra=about(
                rows_done=snapshot.rows_read,
                rows_planned=snapshot.rows,
                rows_per_s=round(snapshot.rows_per_s),
                workers=snapshot.workers,
                rows_quarantined=bad,
            ),
        )


class ProgressBar(Listener):
    """A bar that stays in its place, and goes away at the end.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console):
        columns = (BarColumn(), TextColumn("{task.fields[text]} ·"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True)

    def started(self, snapshot: Snapshot) -> None:
        """Show the bar."""
        self._progress.start()
        self._task = self._progress.add_task(
            "", total=snapshot.rows, completed=snapshot.rows_read, text=""
        )

    def tick(self, snapshot: Snapshot) -> None:
        """Move the bar."""
        text = (
            f"{snapshot.rows_read:,} of {snapshot.rows:,} rows · "
            f"{snapshot.rows_per_s:,.0f} rows/s · {counted(snapshot.workers, 'worker')} · "
            f"{sum(snapshot.quarantined.values()):,} quarantined"
        )
        self._progress.update(self._task, completed=snapshot.rows_read, text=text)

    def ended(self) -> None:
        """Take the bar away."""
        if self._progress.live.is_started:
            self._progress.stop()


class ShardLog(Listener):
    """Logs that workers are ready, and for whoever wants to hear of each, that a shard is done."""

    def started(self, snapshot: Snapshot) -> None:
        """Log how many workers there are."""
        log.info(
            "%s ready after %s",
            *(counted(snapshot.workers, "worker"), duration(snapshot.start_seconds)),
            extra=about(workers=snapshot.workers, seconds=round(snapshot.start_seconds, 3)),
        )

    def done(self, receipt: Receipt) -> None:
        """Log what became of a shard's rows."""
        if not log.isEnabledFor(logging.DEBUG):  # of a million shards the sentences take seconds
            return
        tally = receipt.tally
        bad = (
            f", {tally.bad:,} of them quarantined ({by_code(tally.quarantined)})"
            if tally.bad
            else ""
        )
        log.debug(
            "shard %d done: %s read%s",
            *(receipt.shard, counted(tally.read, "row"), bad),
            extra=about(
                shard=receipt.shard,
                rows_read=tally.read,
                rows_derived=tally.derived,
                quarantined=dict(tally.quarantined),
                seconds={stage: round(each, 4) for stage, each in receipt.seconds.items()},
            ),
        )
