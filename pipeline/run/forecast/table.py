"""A forecast for people."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from hyperdiag.messages.console import plain_console
from hyperdiag.messages.wording import counted, duration, size

from .forecast import FINISHED, LOCKED, OVERWRITE, REFUSED, RESUME, START, UPDATE

_WORDS = {
    START: "would be made",
    RESUME: "would be gone on with",
    UPDATE: "would be updated",
    OVERWRITE: "would be removed and made again",
    FINISHED: "is finished already: nothing would be done",
    LOCKED: "another run is at work: this one would be refused",
    REFUSED: "would be refused",
}


def print_forecast(found: Mapping[str, Any]) -> None:
    """Print it on standard output."""
    console = plain_console()
    table = Table("", "", box=None, pad_edge=False, show_header=False)

    def line(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    how, given, output, work = (found[key] for key in ("method", "input", "output", "work"))
    line("network", f"{found['network']}, plan {found['plan']}")
    tiles = f" in tiles of {counted(how['tile'], 'row')}" if how["tile"] else ""
    line("method", f"{how['method']}{tiles}, batches of {how['batch']:,}, {how['dtype']}")
    rows = f"{counted(given['rows'], 'row')} of {counted(len(given['columns']), 'column')}"
    files = f"{counted(given['files'], 'file')}, {size(given['bytes'])}"
    line("input", f"{files if given['path'] else 'a design'}: {rows}")
    for file in given["bad_files"]:
        line("left out", f"{file['path']}: {file['reason']}")
    line("output", output["path"])
    line("", _WORDS[output["state"]])
    for change in output["changes"]:
        line("", change)
    if output["shards_done"]:
        done = counted(output["shards_done"], "shard")
        line("done", f"{counted(output['rows_done'], 'row')} in {done}")
    if work["shards"]:
        missing = f"{counted(work['rows'], 'row')} in {counted(work['shards'], 'shard')}"
        line("to do", f"{missing}, {_sizes(given, work)}")
        bad = work["rows_quarantined"]
        if bad:
            line("", f"about {counted(bad, 'row')} to quarantine")
    probe = found["probe"]
    if probe:
        line(
            "probe",
            f"{counted(probe['rows'], 'row')} in {duration(probe['seconds'])} with "
            f"{counted(probe['workers'], 'worker')}: {probe['rows_per_s']:,.0f} rows/s",
        )
        line("memory", f"{size(probe['worker_bytes'])} for each worker")
    for note in found["notes"]:
        line("note", note)
    console.print(table)
    if found["times"]:
        console.print()
        console.print(_times(found))


def _times(found: Mapping[str, Any]) -> Table:
    priced = found["times"][0]["cost"] is not None
    columns = ["workers", "time", "worker-hours", *(["cost"] if priced else []), ""]
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for one in found["times"]:
        cost = [f"{_money(one['cost'])} {found['currency']}"] if priced else []
        word = "as measured" if one["configured"] else "estimated, at the same rate for each"
        hours = f"{one['worker_hours']:,.3g}"
        table.add_row(f"{one['workers']:,}", duration(one["seconds"]), hours, *cost, word)
    return table


def _sizes(given: Mapping[str, Any], work: Mapping[str, Any]) -> str:
    read = f"{size(work['bytes_in'])} in, " if given["path"] else ""
    return f"{read}about {size(work['bytes_out'])} out"


def _money(cost: float) -> str:
    return f"{cost:,.2f}" if cost >= 1 or cost == 0 else f"{cost:.2g}"
