"""How far a run is: a live line on a terminal, plain log lines elsewhere."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hyperdiag.messages.log import about, is_json
from hyperdiag.messages.wording import by_code, counted, duration

from .output.receipt import Receipt

log = logging.getLogger("hyperdiag")

_LOG_SECONDS = 10.0  # between log lines where there is no terminal


class Meter:
    """Counts rows and tells their rate.

    Args:
        total: rows of the run.
        done: rows that were done before it began.
        workers: how many there are.
        show: called with the meter whenever there is news.
    """

    def __init__(self, total: int, done: int, workers: int):
        self.total = total
        self.rows = done
        self.workers = workers
        self.quarantined = 0
        self._before = done
        self._started = time.monotonic()

    @property
    def rate(self) -> float:
        """Rows a second, since the meter was made."""
        return (self.rows - self._before) / max(time.monotonic() - self._started, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Seconds that the remaining rows need at this rate; infinite before the first row."""
        return (self.total - self.rows) / self.rate if self.rate else float("inf")

    def update(self, rows: int, quarantined: int) -> None:
        """Set the rows done, and how many of them are in quarantine."""
        self.rows, self.quarantined = rows, quarantined


class _Lines:
    """A log line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, meter: Meter) -> None:
        if time.monotonic() - self._last < _LOG_SECONDS:
            return
        self._last = time.monotonic()
        log.info(
            "%s of %s rows (%.0f%%), %s rows/s, %s left, %s, %s quarantined",
            f"{meter.rows:,}",
            f"{meter.total:,}",
            100 * meter.rows / max(meter.total, 1),
            f"{meter.rate:,.0f}",
            duration(meter.seconds_left),
            counted(meter.workers, "worker"),
            f"{meter.quarantined:,}",
            extra=about(
                rows_done=meter.rows,
                rows_planned=meter.total,
                rows_per_s=round(meter.rate),
                workers=meter.workers,
                rows_quarantined=meter.quarantined,
            ),
        )


class _Bar:
    """A bar that stays in its place."""

    def __init__(self, progress: Progress, meter: Meter):
        self._progress = progress
        self._task = progress.add_task("", total=meter.total, completed=meter.rows, text="")

    def show(self, meter: Meter) -> None:
        text = (
            f"{meter.rows:,} of {meter.total:,} rows · {meter.rate:,.0f} rows/s · "
            f"{counted(meter.workers, 'worker')} · {meter.quarantined:,} quarantined"
        )
        self._progress.update(self._task, completed=meter.rows, text=text)


@contextmanager
def shown(meter: Meter) -> Iterator["_Lines | _Bar"]:
    """Show a meter on standard error; yields what to tell of news."""
    console = Console(stderr=True)
    if is_json() or not console.is_terminal:
        yield _Lines()
        return
    columns = (BarColumn(), TextColumn("{task.fields[text]} ·"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, meter)


def log_done(receipt: Receipt) -> None:
    """Log that a shard is done, for whoever wants to hear of each."""
    tally = receipt.tally
    bad = f", {tally.bad:,} of them quarantined ({by_code(tally.quarantined)})" if tally.bad else ""
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
