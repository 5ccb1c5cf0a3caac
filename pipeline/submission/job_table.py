"""The jobs of a cluster that are runs of ours, as a table for people."""

import datetime
import time
from collections.abc import Sequence

from ray.dashboard.modules.job.pydantic_models import JobDetails
from rich.table import Table

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import duration

_COLUMNS = ("id", "state", "began (UTC)", "took", "network", "output")


def print_jobs(jobs: Sequence[JobDetails]) -> None:
    """Print a table, on standard output, of those jobs that are runs of ours, the newest last.

    Args:
        jobs: of a cluster, the oldest first.
    """
    rows = [_row(job) for job in jobs if "hyperdiag" in (job.metadata or {})]
    if not rows:
        print("no run was submitted to this cluster since it started")
        return
    widths = [max(map(len, column)) + 2 for column in zip(_COLUMNS, *rows, strict=True)]
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    plain_console(least_width=sum(widths)).print(table)


def _row(job: JobDetails) -> tuple[str, ...]:
    began, ended = ((milliseconds or 0) / 1000 for milliseconds in (job.start_time, job.end_time))
    metadata = job.metadata or {}
    return (
        job.submission_id or "",
        job.status.value,
        f"{datetime.datetime.fromtimestamp(began, datetime.UTC):%F %T}",
        duration((ended or time.time()) - began),
        metadata.get("network", ""),
        metadata.get("output", ""),
    )
