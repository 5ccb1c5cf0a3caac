"""The status of an output folder, for people."""

from collections.abc import Callable

from rich.table import Table

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import counted, duration
from hyperdiag.run.output.heartbeat import INCOMPLETE, RUNNING, STOPPED
from hyperdiag.run.summary import print_summary

from .status import KILLED, PUBLISHED, Counts, Rate, Status

_FAILED_SHOWN = 10
_WORDS = {
    RUNNING: "a run is at work",
    STOPPED: "the last run was stopped; the same command goes on",
    KILLED: "the last run died; the same command goes on",
    INCOMPLETE: "the last run ended incomplete; the same command does what is missing",
    PUBLISHED: "published",
}
_PUBLISHED_UPDATE = (
    "published (hyperdiag.read returns it), but not all of its files are in data yet: the next "
    "hyperdiag derive on this output puts them there"
)


def print_status(status: Status, path: str) -> None:
    """Print a status on standard output; of a run that is published and whole, its summary.

    Args:
        status: of the output.
        path: of its folder, with any credentials.
    """
    shards = status.counts.shards
    if status.manifest is not None and status.state == PUBLISHED and shards.done == shards.planned:
        print_summary(status.manifest, path)
        return
    console = plain_console()
    table = Table("", "", box=None, pad_edge=False, show_header=False)

    def line(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    line("output", status.output)
    line("network", f"{status.counts.network}, plan {status.counts.plan}")
    line("state", _WORDS[status.state])
    if status.cause:
        line("", status.cause)
    _add_counts(line, status.counts)
    if status.state == PUBLISHED:
        line("", "files of the run are gone or damaged; the same command derives them again")
    rate = _rate(status.rate, status.counts.rows.planned) if status.rate else None
    if rate:
        line("rate", rate)
    for failed in status.failed[:_FAILED_SHOWN]:
        line("failed", f"shard {failed.shard}: {failed.cause}")
    if len(status.failed) > _FAILED_SHOWN:
        line("", f"and {len(status.failed) - _FAILED_SHOWN} more")
    if status.update:
        line("update", _PUBLISHED_UPDATE if status.update_published else "not published yet")
        _add_counts(line, status.update)
    console.print(table)


def _rate(rate: Rate, planned: int) -> str | None:
    """Return how fast a run is, and how long it will take; None before its first rows."""
    if rate.rows_done is None or rate.workers is None or not rate.rows_per_s:
        return None
    left = max(planned - rate.rows_done, 0) / rate.rows_per_s
    workers = counted(rate.workers, "worker")
    return f"{rate.rows_per_s:,} rows/s with {workers}; {duration(left)} left"


def _add_counts(line: Callable[[str, str], None], counts: Counts) -> None:
    shards, rows = counts.shards, counts.rows
    line("shards", f"{shards.done:,} of {shards.planned:,} done")
    line("rows", f"{rows.read:,} of {rows.planned:,} read, {rows.derived:,} derived")
    for code, count in rows.quarantined.items():
        line("quarantined", f"{count:,} {code}")
