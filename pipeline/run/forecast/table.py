"""A forecast for people."""

from rich.table import Table

from hyperdiag.hyperdual import HIGHEST
from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import counted, duration, size

from .result import (
    FINISHED,
    LOCKED,
    OVERWRITE,
    REFUSED,
    RESUME,
    START,
    UPDATE,
    Forecast,
    Input,
    Workload,
)

_WORDS = {
    START: "would be made",
    RESUME: "would be gone on with",
    UPDATE: "would be updated",
    OVERWRITE: "would be removed and made again",
    FINISHED: "is finished already: nothing would be done",
    LOCKED: "another run is at work: this one would be refused",
    REFUSED: "would be refused",
}


def print_forecast(forecast: Forecast) -> None:
    """Print a forecast on standard output."""
    console = plain_console()
    table = Table("", "", box=None, pad_edge=False, show_header=False)

    def line(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    kernel, dataset, output, work = forecast.kernel, forecast.input, forecast.output, forecast.work
    line("network", f"{forecast.network}, plan {forecast.plan}")
    tiles = f" in tiles of {counted(kernel.tile, 'row')}" if kernel.tile else ""
    products = "" if kernel.precision == HIGHEST else f" with {kernel.precision} products"
    line("method", f"{kernel.method}{tiles}, batches of {kernel.batch:,}, {kernel.dtype}{products}")
    rows = f"{counted(dataset.rows, 'row')} of {counted(len(dataset.columns), 'column')}"
    files = f"{counted(dataset.files, 'file')}, {size(dataset.bytes)}"
    line("input", f"{files if dataset.path else 'a design'}: {rows}")
    for file in dataset.bad_files:
        line("left out", f"{file.path}: {file.reason}")
    line("output", output.path)
    line("", _WORDS[output.state])
    for change in output.changes:
        line("", change)
    if output.shards_done:
        done = counted(output.shards_done, "shard")
        line("done", f"{counted(output.rows_done, 'row')} in {done}")
    if work.shards:
        missing = f"{counted(work.rows, 'row')} in {counted(work.shards, 'shard')}"
        line("to do", f"{missing}, {_sizes(dataset, work)}")
        if work.rows_quarantined:
            line("", f"about {counted(work.rows_quarantined, 'row')} to quarantine")
    probe = forecast.probe
    if probe:
        line(
            "probe",
            f"{counted(probe.rows, 'row')} in {duration(probe.seconds)} with "
            f"{counted(probe.workers, 'worker')}: {probe.rows_per_s:,.0f} rows/s",
        )
        line("memory", f"{size(probe.worker_bytes)} for each worker")
    for note in forecast.notes:
        line("note", note)
    console.print(table)
    if forecast.times:
        console.print()
        console.print(_times(forecast))


def _times(forecast: Forecast) -> Table:
    priced = forecast.times[0].cost is not None
    columns = ["workers", "time", "worker-hours", *(["cost"] if priced else []), ""]
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for estimate in forecast.times:
        row = [f"{estimate.workers:,}", duration(estimate.seconds), f"{estimate.worker_hours:,.3g}"]
        if estimate.cost is not None:
            row.append(f"{_money(estimate.cost)} {forecast.currency}")
        row.append("as measured" if estimate.configured else "estimated, at the same rate for each")
        table.add_row(*row)
    return table


def _sizes(dataset: Input, work: Workload) -> str:
    read = f"{size(work.bytes_in)} in, " if dataset.path else ""
    return f"{read}about {size(work.bytes_out)} out"


def _money(cost: float) -> str:
    return f"{cost:,.2f}" if cost >= 1 or cost == 0 else f"{cost:.2g}"
