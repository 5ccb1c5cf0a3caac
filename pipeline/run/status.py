"""What an output folder says of its run, whether that goes on, ended or was killed."""

import json
from typing import Any

from rich.table import Table

from pipeline.console import plain_console
from pipeline.data.filesystem import Place, absolute, below, masked, resolve
from pipeline.data.sink import RUN, SCRATCH, STAGED, SUCCESS
from pipeline.errors import UsageError

from .inventory import Inventory
from .journal import JOURNAL, Journal
from .lock import is_locked
from .plan import Plan
from .progress import duration
from .pulse import RUNNING, STOPPED, read_pulse
from .summary import print_summary

_KILLED = "killed"


def load_plan(path: str) -> Plan:
    """Return the plan that an output folder holds.

    Raises:
        UsageError: if it holds none that can be read.
    """
    output = resolve(path)
    try:
        plan = Plan.load(output)
    except ValueError as error:
        raise UsageError(f"output.path {masked(path)}: its plan cannot be read: {error}") from error
    if plan is None:
        raise UsageError(f"output.path {masked(path)} holds no run: there is no {RUN}/plan.json")
    return plan


def status(path: str) -> dict[str, Any]:
    """Return what is planned, done, failed, under way and quarantined.

    Where an update is under way or was interrupted, `update` has the same of that.

    Raises:
        UsageError: if there is no run at the path.
    """
    output = resolve(path)
    plan = load_plan(path)
    published = (output / SUCCESS).exists()
    pulse = read_pulse(output)
    found = {"output": masked(absolute(path)), "published": published} | _counts(output, plan)
    found["state"] = _state(output, pulse, published)
    if found["state"] == RUNNING and pulse is not None:
        found["rate"] = {
            key: pulse.get(key) for key in ("rows_done", "rows_per_s", "workers", "updated")
        }
    found["failed"] = [] if pulse is None else pulse.get("failed", [])
    if (output / STAGED / RUN / "plan.json").exists():
        staged = load_plan(below(path, STAGED))
        found["update"] = _counts(output, staged, update=True)
    if published:
        found["manifest"] = json.loads((output / RUN / "manifest.json").read_bytes())
    return found


def _state(output: Place, pulse: dict[str, Any] | None, published: bool) -> str:
    if is_locked(output):
        return RUNNING
    if pulse is None or pulse["state"] == RUNNING:
        return "published" if published and pulse is None else _KILLED
    return pulse["state"]


def _counts(output: Place, plan: Plan, update: bool = False) -> dict[str, Any]:
    inventory = Inventory(output, plan, update)
    inventory.take(Journal(output / JOURNAL, output / SCRATCH))
    for receipt in inventory.from_footers():
        inventory.add(receipt)
    tally = inventory.tally
    return {
        "plan": plan.digest,
        "network": plan.settings["network"]["name"],
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
    if found["published"] and "update" not in found and found["state"] != RUNNING:
        print_summary(found["manifest"])
        return
    console = plain_console()
    table = Table("", "", box=None, pad_edge=False, show_header=False)

    def line(name: str, text: str) -> None:
        table.add_row(name, text)

    line("output", found["output"])
    line("network", f"{found['network']}, plan {found['plan']}")
    words = {
        RUNNING: "a run is at work",
        STOPPED: "the last run was stopped; the same command goes on",
        _KILLED: "the last run died; the same command goes on",
    }
    line("state", words.get(found["state"], found["state"]))
    _add_counts(line, found)
    if "rate" in found and found["rate"]["rows_per_s"]:
        rate = found["rate"]
        left = (found["rows"]["planned"] - rate["rows_done"]) / rate["rows_per_s"]
        line(
            "rate",
            f"{rate['rows_per_s']:,} rows/s with {rate['workers']} workers; "
            f"{duration(max(left, 0))} left",
        )
    for shard, cause in found["failed"][:10]:
        line("failed", f"shard {shard}: {cause}")
    if len(found["failed"]) > 10:
        line("", f"and {len(found['failed']) - 10} more")
    if "update" in found:
        line("update", "not published yet")
        _add_counts(line, found["update"])
    console.print(table)


def _add_counts(line: Any, counts: dict[str, Any]) -> None:
    shards, rows = counts["shards"], counts["rows"]
    line("shards", f"{shards['done']:,} of {shards['planned']:,} done")
    line("rows", f"{rows['read']:,} of {rows['planned']:,} read, {rows['derived']:,} derived")
    for code, count in rows["quarantined"].items():
        line("quarantined", f"{count:,} {code}")
