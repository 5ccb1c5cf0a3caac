"""A report in a terminal: whether to trust a run, and what it says of each output, as tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import counted

from .derived import DerivedTable
from .facts import LOOK
from .records import Record
from .report import Report

_MOST_OUTPUTS, _MOST_INPUTS = 24, 10  # that are shown: all of them are in the page


def print_report(report: Report) -> None:
    """Print a report in words and tables, on standard output."""
    console = plain_console()
    manifest = report.facts.manifest
    title = f"{escape(manifest.network.name)}: {counted(manifest.rows.derived, 'row')}"
    console.print(f"[bold]{title}[/] in {escape(manifest.output)}", soft_wrap=True)
    for check in sorted(report.facts.checks, key=lambda check: check.state != LOOK):
        mark = "[yellow]look at this:[/]" if check.state == LOOK else "as it should be:"
        console.print(f"{mark} {escape(f'{check.title}. {check.text}')}", soft_wrap=True)
    if not report.records:
        console.print(f"\n{report.why_no_records}", soft_wrap=True)
        return
    console.print(
        "\ns: an input's deviation over all rows. J s: how much the output changes with it, to "
        "first order; half of D s^2 stands beside it to second order. rms: root mean square.",
        soft_wrap=True,
    )
    for output, record in zip(report.outputs[:_MOST_OUTPUTS], report.records, strict=False):
        names = [report.inputs[place] for place in record["inputs"]]
        _print_output(console, output, names, record)
    more = len(report.outputs) - _MOST_OUTPUTS
    if more > 0:
        console.print(f"\n{counted(more, 'output')} more: see the page (format=html)")
    if report.derived.rows:
        _print_derived(console, report.derived)


def _print_derived(console: Console, derived: DerivedTable) -> None:
    console.print("\n[bold]derived quantities[/]")
    table = Table("column", *derived.head, box=None, pad_edge=False)
    for name, values in derived.rows:
        table.add_row(escape(name), *map(_number, values))
    if derived.left_out:
        table.add_row(f"{derived.left_out:,} more")
    console.print(table)


def _print_output(console: Console, output: str, names: Sequence[str], record: Record) -> None:
    value = record.get("value")
    said = ""
    if value:
        mean, deviation = _number(value["mean"]), _number(value["deviation"])
        ends = f"{_number(value['minimum'])} .. {_number(value['maximum'])}"
        said = f": mean {mean}, deviation {deviation}, {ends}"
    console.print(f"\n[bold]{escape(output)}[/]{said}", soft_wrap=True)
    columns = ["input"]
    for quantity, title in (("jacobian", "J s"), ("hessian_diag", "D s^2")):
        if quantity in record:
            columns += [f"rms {title}", f"mean {title}"]
    if "hessian_diag" in record:
        columns.append("convex rows")
    table = Table(*columns, box=None, pad_edge=False)
    for at, name in enumerate(names[:_MOST_INPUTS]):
        deviation = record["deviation"][at]
        cells = [escape(name)]
        for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
            if quantity in record:
                for statistic in ("root_mean_square", "mean"):
                    cells.append(_number(record[quantity][statistic][at], deviation, power))
        if "hessian_diag" in record:
            cells.append(f"{record['hessian_diag']['positive'][at]:.0%}")
        table.add_row(*cells)
    if len(names) > _MOST_INPUTS:
        table.add_row(f"{len(names) - _MOST_INPUTS:,} more")
    console.print(table)


def _number(x: float | None, scale: float | None = 1.0, power: int = 1) -> str:
    """Return a number times a power of a scale; what is not finite is "-"."""
    return "-" if x is None or scale is None else f"{x * scale**power:.4g}"
