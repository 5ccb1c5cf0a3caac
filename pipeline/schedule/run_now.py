"""One tick of an entry, run now: a catch-up or a re-run."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.messages.wording import duration
from hyperdiag.process.file_lock import holder_of
from hyperdiag.process.signals import Stopped, StopSignals

from .attempt import LOCKS
from .entry import Entry, utc_text
from .history import ENDED, History
from .run_spec import order, start
from .runner import seconds
from .service import prepare

log = logging.getLogger("hyperdiag")

_LINES = 20  # of the log, where a run failed


def run_by_hand(
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
        Stopped: if a signal stopped it.
    """
    tick = entry.tick_of(date)
    prepare(folder)
    history = History(folder)
    run = history.enter_by_hand(entry.name, tick)
    given = order(folder, entry, run, flags, keep_logs)
    log.info("%s %s: %s", entry.name, utc_text(tick), given.shown)
    log.info("log %s", given.log)
    if holder_of(folder / LOCKS / entry.name) is not None:
        log.info("a run of the entry is under way; this one waits for it")
    process = start(given)
    try:
        with StopSignals():
            process.wait()
    except Stopped:
        process.terminate()
        process.wait()
        raise
    run = history.find(run.entry, run.tick, run.attempt)
    if run.state != ENDED or run.code:
        if Path(given.log).exists():
            said = Path(given.log).read_text(encoding="utf-8", errors="replace")
            print(*said.splitlines()[-_LINES:], sep="\n", file=sys.stderr)
        raise RunIncomplete(
            f"entry {entry.name} {utc_text(tick)}: {run.state}, exit code "
            f"{run.code if run.state == ENDED else process.returncode}; see {given.log}"
        )
    log.info("%s %s: done in %s", entry.name, utc_text(tick), duration(seconds(run) or 0))
