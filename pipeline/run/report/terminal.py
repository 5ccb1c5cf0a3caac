"""A report in a terminal: whether to trust a run, and what it says of each output, as tables."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hyperdiag.data.output_folder import SUMMARY
from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.wording import counted

from .facts import LOOK
from .labels import shortened
from .number_text import number
from .quantiles import QUANTILES_NOTE
from .records import Record
from .report import Report
from .standard_error import LEAST_ROWS

_MOST_OUTPUTS, _MOST_INPUTS, _MOST_GROUPS = 24, 10, 12  # that are shown: more are in the page
_MOST_STRONGEST = 3
_MOST_WIDTH = 4096  # of a table, in letters
_number = partial(number, missing="-")
_WITH_ERRORS = "jacobian"
_KINDS = ("uniform", "normal")  # of inputs, whose total indices have bounds
_LETTERS = 60  # of the name of a group
_MOST_COLUMNS = 8  # that are derived, by group


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
        "first order; half of D s^2 stands beside it to second order. rms: root mean square. "
        "+-: a standard error, as if the rows were a random sample and s exact (of rms, the most "
        "that these rows allow): too small where few rows, or rare large ones, decide, and none "
        f"below {LEAST_ROWS} rows.",
        soft_wrap=True,
    )
    if any(f"total_index_bound_{kind}" in each for each in report.records for kind in _KINDS):
        console.print(
            "index: at most this share of the output's variance is an input's, alone or with "
            "others (total Sobol index), inputs being independent, and uniform or normal. No index "
            'is above 1, so that ">= 1 (nothing)" stands for a bound that says nothing.',
            soft_wrap=True,
        )
    shown = list(zip(report.outputs[:_MOST_OUTPUTS], report.records, strict=False))
    for at, (output, record) in enumerate(shown):
        names = [report.inputs[place] for place in record["inputs"]]
        _print_output(console, output, names, record, report.totals.inputs)
        if report.groups:
            _print_groups(console, report, at, names)
    more = len(report.outputs) - len(shown)
    if more > 0:
        in_page = len(report.records) - len(shown)
        console.print(
            f"\n{counted(more, 'output')} more: {in_page:,} of them in the page (format=html), all "
            f"in {SUMMARY}",
            soft_wrap=True,
        )
    if report.derived.rows:
        _print_derived(console, report)
    console.print("\n[bold]What the page (format=html) does not show[/]")
    for sentence in report.left_out:
        console.print(escape(sentence), soft_wrap=True)


def _print_groups(console: Console, report: Report, output: int, names: Sequence[str]) -> None:
    """Print a line for each group: an output's values, and the strongest inputs."""
    whole = report.records[output]
    strongest = names[:_MOST_STRONGEST] if "jacobian" in whole else []
    heads = ["mean", "+-", "deviation"] if "value" in whole else []
    laplacian = ["mean Laplacian", "its deviation"] if "laplacian" in whole else []
    table = Table(
        escape(shortened(report.grouped_by, _LETTERS)),
        "rows",
        *heads,
        *laplacian,
        *(f"rms J s, {escape(name)}" for name in strongest),
        box=None,
        pad_edge=False,
    )
    shown = list(report.groups.items())[:_MOST_GROUPS]
    for name, records in shown:
        record = records[output]
        cells = [f"{record['rows']:,}"]
        if heads:
            keys = ("mean", "mean_error", "deviation")
            cells += [_number(record["value"][key]) for key in keys]
        if laplacian:
            cells += [_number(record["laplacian"][key]) for key in ("mean", "deviation")]
        cells += map(_number, record.get("beside", [])[: len(strongest)])
        table.add_row(escape(shortened(name, _LETTERS)), *cells)
    if report.totals.groups > len(shown):
        table.add_row(f"{report.totals.groups - len(shown):,} more")
    console.print()
    _print_table(table)


def _print_derived(console: Console, report: Report) -> None:
    derived, by = report.derived, report.grouped_by
    console.print("\n[bold]derived quantities[/]")
    table = Table("column", *derived.head, box=None, pad_edge=False)
    for name, values in derived.rows:
        table.add_row(escape(name), *map(_number, values))
    if derived.left_out:
        table.add_row(f"{derived.left_out:,} more")
    _print_table(table)
    if any(name.endswith("%") for name in derived.head):
        console.print(QUANTILES_NOTE, soft_wrap=True)
    if derived.group_rows:
        console.print(f"\n[bold]derived quantities by {escape(by)}[/]")
        table = Table("column", escape(by), "rows", *derived.group_head, box=None, pad_edge=False)
        shown: Counter[str] = Counter()
        for name, group, count, values in derived.group_rows:
            if shown[name] < _MOST_GROUPS and (name in shown or len(shown) < _MOST_COLUMNS):
                of = escape(shortened(group, _LETTERS))
                table.add_row(escape(name), of, f"{count:,}", *map(_number, values))
                shown[name] += 1
        _print_table(table)
        columns, groups = len(derived.rows) + derived.left_out, report.totals.groups
        of_each = max(shown.values())
        for printed, total, what in (
            (len(shown), columns, "columns are here"),
            (of_each, groups, "groups are here of each column: those of the most rows"),
        ):
            if printed < total:
                sentence = f"{printed:,} of {total:,} {what}. All are in {SUMMARY}."
                console.print(sentence, soft_wrap=True)


def _print_output(
    console: Console, output: str, names: Sequence[str], record: Record, inputs: int
) -> None:
    value = record.get("value")
    said = ""
    if value:
        mean, deviation = _number(value["mean"]), _number(value["deviation"])
        ends = f"{_number(value['minimum'])} .. {_number(value['maximum'])}"
        said = f": mean {mean}, deviation {deviation}, {ends}"
    if "laplacian" in record:
        laplacian = record["laplacian"]
        said += f"; Laplacian: mean {_number(laplacian['mean'])}"
        said += f", deviation {_number(laplacian['deviation'])}"
    console.print(f"\n[bold]{escape(output)}[/]{said}", soft_wrap=True)
    if not {"jacobian", "hessian_diag"} & record.keys():
        return  # nothing is known by input
    columns = ["input"]
    for quantity, title in (("jacobian", "J s"), ("hessian_diag", "D s^2")):
        if quantity in record:
            error = ["+-"] if quantity == _WITH_ERRORS else []
            columns += [f"rms {title}", *error, f"mean {title}", *error]
    if "hessian_diag" in record:
        columns.append("convex rows")
    kinds = [kind for kind in _KINDS if f"total_index_bound_{kind}" in record]
    columns += [f"index, {kind}" for kind in kinds]
    table = Table(*columns, box=None, pad_edge=False)
    for at, title in enumerate(names[:_MOST_INPUTS]):
        deviation = record["deviation"][at]
        cells = [f"{escape(title)} (s = 0)" if deviation == 0 else escape(title)]
        for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
            if quantity in record:
                for statistic in ("root_mean_square", "mean"):
                    error = [f"{statistic}_error"] if quantity == _WITH_ERRORS else []
                    for name in (statistic, *error):
                        cells.append(_number(record[quantity][name][at], deviation, power))
        if "hessian_diag" in record:
            cells.append(f"{record['hessian_diag']['positive'][at]:.0%}")
        cells += [_bound(record[f"total_index_bound_{kind}"][at]) for kind in kinds]
        table.add_row(*cells)
    shown = min(len(names), _MOST_INPUTS)
    if inputs > shown:
        table.add_row(f"{inputs - shown:,} more")
    _print_table(table)


def _print_table(table: Table) -> None:
    """Print a table as wide as it is: one that is cut loses numbers."""
    console = plain_console()
    wide = console.options.update(max_width=_MOST_WIDTH)
    least = Measurement.get(console, wide, table).maximum
    plain_console(least_width=least).print(table)


def _bound(x: float | None) -> str:
    """Return a bound of a total index."""
    return ">= 1 (nothing)" if x is not None and x >= 1 else _number(x)
