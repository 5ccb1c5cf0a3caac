"""What a schedule has done, does and will do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import duration
from hyperdiag.process.file_lock import holder_of

from .database import FILE
from .entry import Entry, utc_text
from .history import ENDED, History, Run
from .kept_entries import KeptEntries, KeptEntry
from .overdue import last_success, overdue, overdue_text
from .runner import seconds
from .state_folder import LOGS, SCHEDULER_LOCK
from .trigger import next_tick


def listing(folder: Path, entries: Sequence[Entry], last: int) -> dict[str, Any]:
    """Return the entries with their next tick, what is overdue, and the last runs of each.

    No folder is made for it; a history that is there is opened as for writing.

    Args:
        folder: of the schedule's state.
        entries: that there are now.
        last: how many runs of each.
    """
    now = datetime.now(UTC)
    # Entries that are gone keep their history.
    history = History(folder) if (folder / FILE).exists() else None
    kept = KeptEntries(folder).all() if history else {}
    names = [*[entry.name for entry in entries], *(history.entries() if history else [])]
    return {
        "state": str(folder),
        "serving": holder_of(folder / SCHEDULER_LOCK) is not None,
        "entries": [_entry_values(entry, history, kept.get(entry.name), now) for entry in entries],
        "runs": [
            _run_values(folder, run)
            for name in dict.fromkeys(names)
            for run in (history.latest(name, last) if history else [])
        ],
    }


def _entry_values(
    entry: Entry, history: History | None, kept: KeptEntry | None, now: datetime
) -> dict[str, Any]:
    success = last_success(entry, history, now) if history else None
    late = overdue(entry, history, kept, now) if history else None
    coming = next_tick(entry.trigger, now)
    return {
        "name": entry.name,
        "due": entry.due,
        "missed": entry.settings.missed,
        "address": entry.settings.address,
        "next": utc_text(coming) if coming else None,
        "last_success": utc_text(success.ended) if success else None,
        "overdue": None
        if late is None
        else {
            "tick": utc_text(late.tick),
            "since": utc_text(late.since),
            "text": overdue_text(entry, late),
        },
    }


def _run_values(folder: Path, run: Run) -> dict[str, Any]:
    path = folder / LOGS / run.entry / f"{run.key}.log"
    return {
        "entry": run.entry,
        "tick": utc_text(run.moment),
        "attempt": run.attempt,
        "by_hand": bool(run.by_hand),
        "state": run.state,
        "reason": run.reason,
        "code": run.code,
        "started": run.started and utc_text(datetime.fromtimestamp(run.started, UTC)),
        "seconds": None if (taken := seconds(run)) is None else round(taken, 3),
        "tries": run.tries,
        "log": str(path) if path.exists() else None,
    }


def print_listing(schedule: dict[str, Any]) -> None:
    """Print what `listing` returns for people, on standard output."""
    console = plain_console()
    scheduler = "a scheduler" if schedule["serving"] else "no scheduler"
    console.print(
        f"{escape(schedule['state'])}: {scheduler} is at work",
        soft_wrap=True,
    )
    table = Table("entry", "due", "missed", "next", "last success", box=None, pad_edge=False)
    for entry in schedule["entries"]:
        cells = (entry["name"], entry["due"], entry["missed"], entry["next"] or "never")
        table.add_row(*map(escape, cells), entry["last_success"] or "none")
    console.print(table)
    for entry in schedule["entries"]:
        if entry["overdue"]:
            console.print(entry["overdue"]["text"], soft_wrap=True, markup=False)
    if not schedule["runs"]:
        return
    table = Table("entry", "tick", "state", "code", "took", "", box=None, pad_edge=False)
    for run in schedule["runs"]:
        state = "done" if run["state"] == ENDED and run["code"] == 0 else run["state"]
        again = f" ({run['attempt']})" if run["attempt"] > 1 else ""
        table.add_row(
            *map(escape, (run["entry"], run["tick"] + again, state)),
            "" if run["code"] is None else str(run["code"]),
            "" if run["seconds"] is None else duration(run["seconds"]),
            escape(run["reason"] or ("by hand" if run["by_hand"] else "")),
        )
    console.print()
    console.print(table)
