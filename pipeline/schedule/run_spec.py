"""What the process of a run is told, and how it is started."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hyperdiag.config.override import quoted
from hyperdiag.messages.masking import masked, masked_text

from .attempt import LOGS, Job, Order
from .entry import Entry
from .history import Run


def order(
    folder: Path, entry: Entry, run: Run, flags: Sequence[str] = (), keep_logs: int = 100
) -> Order:
    """Return the order for a run.

    Args:
        folder: of the schedule's state.
        entry: whose run it is.
        run: which.
        flags: of Hydra, for the command.
        keep_logs: how many logs of the entry are kept.
    """
    arguments = [*flags, *entry.settings.overrides, f"run.date={entry.date_of(run.moment)}"]
    job = None
    if entry.settings.address is not None:
        # The id makes a second submission of the same tick harmless, whoever tries it.
        job = Job(entry.settings.address, f"{run.entry}-{run.key}")
        arguments += [f"submit.address={quoted(job.address)}", f"submit.id={job.submission_id}"]
    return Order(
        folder=str(folder),
        entry=run.entry,
        tick=run.tick,
        attempt=run.attempt,
        command=[entry.job, *arguments],
        shown=masked_text(f"hyperdiag {entry.job} {shlex.join(map(masked, arguments))}"),
        job=job,
        log=str(folder / LOGS / run.entry / f"{run.key}.log"),
        keep_logs=keep_logs,
    )


def start(given: Order) -> subprocess.Popen[bytes]:
    """Start the process of a run, which ends in order on SIGTERM.

    In a session of its own: neither the death of this process nor a key on its terminal ends it.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hyperdiag.schedule.attempt"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        with process.stdin as stream:
            stream.write(json.dumps(asdict(given)).encode())
    except BrokenPipeError:
        pass  # it has been ended already, and says so by its exit code
    return process
