"""What an output folder says of its run, whether that goes on, ended or was killed."""

from collections.abc import Callable
from typing import Any

from rich.markup import escape
from rich.table import Table

from hyperdiag.data.filesystem import Place, absolute, below, resolve
from hyperdiag.data.output_folder import PLAN, STAGED
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import counted, duration
from hyperdiag.run.output.heartbeat import DONE, INCOMPLETE, RUNNING, STOPPED, read_heartbeat
from hyperdiag.run.output.inventory import scan_output
from hyperdiag.run.output.lock import is_locked
from hyperdiag.run.output.manifest import Manifest, published_manifest
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import plan_at
from hyperdiag.run.summary import print_summary

PUBLISHED, KILLED = "published", "killed"
_FAILED_SHOWN = 10
# While an update is published, some is seen as it was and some as it is: it is looked at again.
_LOOKS = 4
_RATE = ("rows_done", "rows_per_s", "workers", "updated")
_WORDS = {
    RUNNING: "a run is at work",
    STOPPED: "the last run was stopped; the same command goes on",
    KILLED: "the last run died; the same command goes on",
    INCOMPLETE: "the last run ended incomplete; the same command does what is missing",
    PUBLISHED: "published",
}


def load_plan(path: str) -> Plan:
    """Return the plan that an output folder holds.

    Raises:
        UsageError: if it holds none that can be read.
    """
    try:
        return plan_at(path)
    except ValueError as error:
        raise UsageError(f"output.path {masked(path)}: its plan cannot be read: {error}") from error


def status(path: str) -> dict[str, Any]:
    """Return what is planned, done, failed, under way and quarantined.

    The keys are always the same. None stands in `rate` unless a run is at work, in `update` unless
    one is under way or was interrupted, and in `manifest` unless the run was published.

    Raises:
        UsageError: if there is no run at the path, or it cannot be read for now.
    """
    output = resolve(path)
    for _ in range(_LOOKS - 1):
        before = _plans(output)
        try:
            found = _look(path, output)
        except UsageError:
            if _plans(output) == before:
                raise
        else:
            if _plans(output) == before:
                return found
    return _look(path, output)


def _plans(output: Place) -> list[tuple[int | None, int | None]]:
    """Return what changes when a plan is put in the place of another, as an update does."""
    infos = [(root / PLAN).info() for root in (output, output / STAGED)]
    return [(info.size, info.mtime_ns) for info in infos]


def _look(path: str, output: Place) -> dict[str, Any]:
    plan = load_plan(path)
    pulse = read_heartbeat(output)
    manifest = published_manifest(output)
    updating = (output / STAGED / PLAN).exists()
    state = _state(output, pulse, manifest is not None and not updating)
    beat = pulse if pulse is not None and pulse["state"] == state == RUNNING else None
    return {
        "output": masked(absolute(path)),
        "state": state,
        **_counts(output, plan),
        "rate": beat and {key: beat.get(key) for key in _RATE},
        "failed": [] if pulse is None or state == PUBLISHED else pulse.get("failed", []),
        "cause": None if pulse is None or state == PUBLISHED else pulse.get("cause"),
        "update": _counts(output, load_plan(below(path, STAGED)), update=True)
        if updating
        else None,
        "manifest": manifest and manifest.to_json(),
    }


def _state(output: Place, pulse: dict[str, Any] | None, published: bool) -> str:
    if is_locked(output):
        return RUNNING
    if published:
        return PUBLISHED
    if pulse is None or pulse["state"] == RUNNING:
        return KILLED
    return INCOMPLETE if pulse["state"] == DONE else pulse["state"]


def _counts(output: Place, plan: Plan, update: bool = False) -> dict[str, Any]:
    inventory = scan_output(output, plan, update)
    tally = inventory.tally
    return {
        "plan": plan.digest,
        "network": plan.network.name,
        "shards": {"planned": inventory.shards, "done": inventory.count},
        "rows": {
            "planned": sum(shard.rows for shard in plan.shards()),
            "read": tally.read,
            "derived": tally.derived,
            "filtered": tally.filtered,
            "quarantined": dict(sorted(tally.quarantined.items())),
        },
    }


def print_status(found: dict[str, Any]) -> None:
    """Print it for people, on standard output."""
    shards, rows = found["shards"], found["rows"]
    if found["state"] == PUBLISHED and shards["done"] == shards["planned"]:
        print_summary(Manifest.from_json(found["manifest"]))
        return
    console = plain_console()
    table = Table("", "", box=None, pad_edge=False, show_header=False)

    def line(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    line("output", found["output"])
    line("network", f"{found['network']}, plan {found['plan']}")
    line("state", _WORDS[found["state"]])
    if found["cause"]:
        line("", found["cause"])
    _add_counts(line, found)
    if found["state"] == PUBLISHED:
        line("", "files of the run are gone or damaged; the same command derives them again")
    rate = found["rate"]
    if rate and rate["rows_per_s"]:
        left = max(rows["planned"] - rate["rows_done"], 0) / rate["rows_per_s"]
        workers = counted(rate["workers"], "worker")
        line("rate", f"{rate['rows_per_s']:,} rows/s with {workers}; {duration(left)} left")
    for shard, cause in found["failed"][:_FAILED_SHOWN]:
        line("failed", f"shard {shard}: {cause}")
    if len(found["failed"]) > _FAILED_SHOWN:
        line("", f"and {len(found['failed']) - _FAILED_SHOWN} more")
    if found["update"]:
        line("update", "not published yet")
        _add_counts(line, found["update"])
    console.print(table)


def _add_counts(line: Callable[[str, str], None], counts: dict[str, Any]) -> None:
    shards, rows = counts["shards"], counts["rows"]
    line("shards", f"{shards['done']:,} of {shards['planned']:,} done")
    line("rows", f"{rows['read']:,} of {rows['planned']:,} read, {rows['derived']:,} derived")
    for code, count in rows["quarantined"].items():
        line("quarantined", f"{count:,} {code}")
