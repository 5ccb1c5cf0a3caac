"""One tick of an entry, run now: a catch-up or a re-run."""

import contextlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hyperdiag.messages.errors import Busy, RunIncomplete
from hyperdiag.messages.printable import printable
from hyperdiag.process.exit_codes import TRY_AGAIN
from hyperdiag.process.file_lock import holder_of
from hyperdiag.process.signals import Stopped, StopSignals

from .entry import Entry, utc_text
from .history import ENDED, History, Run
from .run_process import start_run
from .run_spec import make_run_spec
from .runner import took
from .state_folder import LOCKS, make_state_folder

log = logging.getLogger("hyperdiag")

_LINES = 20  # of the log, where a run failed
_LOOK_SECONDS = 1.0


def run_now(
    folder: Path, entry: Entry, date: str | None, flags: Sequence[str], keep_logs: int
) -> None:
    """Run a tick of an entry, after any run of it that is under way; return when it succeeded.

    A tick that was interrupted or waits is run under its own name; one that was run before, again.

    Args:
        folder: of the schedule's state.
        entry: whose tick.
        date: which, see `Entry.tick_of`.
        flags: of Hydra, for the commands.
        keep_logs: how many logs of the entry are kept.

    Raises:
        UsageError: if there is no such tick.
        RunIncomplete: if the run did not end with exit code 0.
        Busy: if another run was at work on its output, all its time.
        Stopped: if a signal stopped it.
    """
    tick = entry.tick_of(date)
    make_state_folder(folder)
    history = History(folder)
    run = history.enter_by_hand(entry.name, tick)
    spec = make_run_spec(folder, entry, run, flags, keep_logs)
    log.info("%s %s: %s", entry.name, utc_text(tick), spec.shown)
    log.info("log %s", spec.log)
    if holder_of(folder / LOCKS / entry.name) is not None:
        log.info("a run of the entry is under way; this one waits for it")
    process = start_run(spec)
    try:
        with StopSignals():
            _wait(process, history, run)
    except Stopped:
        process.terminate()
        process.wait()
        raise
    run = history.find(run.entry, run.tick, run.attempt)
    if run.state != ENDED or run.code:
        if Path(spec.log).exists():
            text = Path(spec.log).read_text(encoding="utf-8", errors="replace")
            print(*map(printable, text.splitlines()[-_LINES:]), sep="\n", file=sys.stderr)
        kind = Busy if run.state == ENDED and run.code == TRY_AGAIN else RunIncomplete
        raise kind(
            f"entry {entry.name} {utc_text(tick)}: {run.state}, exit code "
            f"{run.code if run.state == ENDED else process.returncode}; see {spec.log}"
        )
    log.info("%s %s: done in %s", entry.name, utc_text(tick), took(run))


def _wait(process: subprocess.Popen[bytes], history: History, run: Run) -> None:
    """Wait for the end of a run; say what there is to say of it in the meantime."""
    reason = None
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
        before, reason = reason, history.find(run.entry, run.tick, run.attempt).reason
        if reason != before and reason and process.poll() is None:
            log.info("%s", reason)
