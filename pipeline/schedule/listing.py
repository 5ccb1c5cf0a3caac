"""What a schedule has done, does and will do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import duration
from hyperdiag.process.file_lock import holder_of

from .entry import Entry, utc_text
from .history import ENDED, FILE, History, Run
from .runner import seconds
from .state_folder import LOGS, SCHEDULER_LOCK


def listing(folder: Path, entries: Sequence[Entry], last: int) -> dict[str, Any]:
    """Return the entries with their next tick, and the last runs of each.

    No folder is made for it; a history that is there is opened as for writing.

    Args:
        folder: of the schedule's state.
        entries: that there are now.
        last: how many runs of each.
    """
    now = datetime.now(UTC)
    # Entries that are gone keep their history.
    history = History(folder) if (folder / FILE).exists() else None
    names = [*[entry.name for entry in entries], *(history.entries() if history else [])]
    return {
        "state": str(folder),
        "serving": holder_of(folder / SCHEDULER_LOCK) is not None,
        "entries": [
            {
                "name": entry.name,
                "due": entry.due,
                "missed": entry.settings.missed,
                "address": entry.settings.address,
                "next": utc_text(tick)
                if (tick := entry.trigger.get_next_fire_time(None, now))
                else None,
            }
            for entry in entries
        ],
        "runs": [
            _run_values(folder, run)
            for name in dict.fromkeys(names)
            for run in (history.latest(name, last) if history else [])
        ],
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
    table = Table("entry", "due", "missed", "next", box=None, pad_edge=False)
    for entry in schedule["entries"]:
        cells = (entry["name"], entry["due"], entry["missed"], entry["next"] or "never")
        table.add_row(*map(escape, cells))
    console.print(table)
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
