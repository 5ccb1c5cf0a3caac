"""The parts of a report's page that stand as they are: HTML, in which names are escaped."""

from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape

from hyperdiag.messages.printable import printable_name
from hyperdiag.messages.wording import counted

from .derived import DerivedTable
from .drawing.figures import Figure
from .facts import LOOK, Check, Example, Facts
from .groups import ALL_ROWS
from .number_text import number
from .quantiles import QUANTILES_NOTE
from .records import Record

_STRONGEST = 3
_WORDS = {True: "look at this", False: "as it should be"}


def text(value: object) -> str:
    """Return a text of anybody's as HTML that shows it, on one line."""
    return escape(printable_name(str(value)))


def description(facts: Facts) -> str:
    """Return what was run, as a list of descriptions."""
    entries = (f"<dt>{text(name)}</dt><dd>{text(what)}</dd>" for name, what in facts.description)
    return f"<dl>{''.join(entries)}</dl>"


def checks(facts: Facts) -> str:
    """Return what bears on whether to trust the run, as a list; what to look at comes first."""
    ordered = sorted(facts.checks, key=lambda check: check.state != LOOK)
    return f'<ul class="checks">{"".join(map(_check, ordered))}</ul>'


def _check(check: Check) -> str:
    look = check.state == LOOK
    return (
        f'<li class="{"look" if look else "right"}"><span class="mark">{_WORDS[look]}</span> '
        f"<strong>{text(check.title)}.</strong> {text(check.text)}</li>"
    )


def quarantined(examples: Sequence[Example]) -> str:
    """Return examples of quarantined rows, as a table; nothing where there are none."""
    if not examples:
        return ""
    rows = (
        [e.code, e.detail, e.file, e.row, ", ".join(f"{k}={v}" for k, v in e.values.items())]
        for e in examples
    )
    head = ("cause", "detail", "file", "row", "values")
    return "<h3>Examples of quarantined rows</h3>" + table("Quarantined rows", head, rows)


def outputs(names: Sequence[str], inputs: Sequence[str], records: Sequence[Record]) -> str:
    """Return a line for each output that is shown: its values, and its strongest inputs."""
    laplacians = ["mean Laplacian", "its deviation"] if "laplacian" in records[0] else []
    head = ["output", "mean", "deviation", "minimum", "maximum", *laplacians]
    head.append("strongest inputs (rms of J s)")
    rows = []
    for name, record in zip(names, records, strict=False):
        value = record.get("value", {})
        numbers = [value.get(key) for key in ("mean", "deviation", "minimum", "maximum")]
        if laplacians:
            numbers += [record["laplacian"][key] for key in ("mean", "deviation")]
        rows.append([name, *map(number, numbers), ", ".join(_strongest(record, inputs))])
    return table("Outputs", head, rows, head[1:-1])


def _strongest(record: Record, inputs: Sequence[str]) -> Iterable[str]:
    if "jacobian" in record:
        mean = record["jacobian"]["root_mean_square"]
        for at, place in enumerate(record["inputs"][:_STRONGEST]):
            if record["deviation"][at] == 0:
                yield f"{inputs[place]} does not vary (s = 0)"
            elif mean[at] is not None and record["deviation"][at] is not None:
                yield f"{inputs[place]} {number(mean[at] * record['deviation'][at])}"


def derived(listed: DerivedTable, by: str) -> str:
    """Return a line for each derived column that is shown, and for each of its groups.

    Args:
        listed: what is said of these columns; nothing is returned where there are none.
        by: the column that groups are told by.
    """
    if not listed.rows:
        return ""
    title = "Derived quantities"
    rows = ([name, *map(number, values)] for name, values in listed.rows)
    section = f"<h3>{title}</h3>{table(title, ['column', *listed.head], rows, listed.head)}"
    section += (
        "<p>Deviations and shocks in these are those that their options give; figures have the "
        "deviations of the rows.</p>"
    )
    if any(name.endswith("%") for name in listed.head):
        section += f"<p>{text(QUANTILES_NOTE)}</p>"
    if listed.group_rows:
        title = f"Derived quantities by {by}"
        head = ["column", by, "rows", *listed.group_head]
        lines = (
            [name, group, f"{count:,}", *map(number, values)]
            for name, group, count, values in listed.group_rows
        )
        section += f"<h3>{text(title)}</h3>{table(title, head, lines, head[2:])}"
    return section


def throughput(times: Record, drawn: Mapping[str, Figure]) -> str:
    """Return rows and seconds over time as figures, where there is a time to draw, and as tables.

    Args:
        times: as `Facts` have them.
        drawn: the figures by name.
    """
    rows = {name: round(sum(each)) for name, each in _pairs(times, "worker_names", "worker_rows")}
    seconds = {name: sum(each) for name, each in _pairs(times, "stage_names", "stage_seconds")}
    work, interval = sum(seconds.values()), times["interval_seconds"]
    if len(times["middles"]) > 1:
        over_time = f'<div class="figures">{figures("all", drawn)}</div>'
    else:
        over_time = (
            f"<p>Its work, {counted(sum(rows.values()), 'row')}, was over within {interval:g} s: "
            "too soon to draw what was done when.</p>"
        )
    lines = ([name, f"{count:,}"] for name, count in rows.items())
    by_worker = table("Rows by worker", ("worker", "rows"), lines, ["rows"])
    by_stage = table(
        "Seconds of work by stage, of all workers",
        ("stage", "seconds", "share"),
        ([n, f"{x:.3g}", f"{x / work:.0%}" if work else "–"] for n, x in seconds.items()),
        ("seconds", "share"),
    )
    return (
        f"<p>Of the last command that worked on the run.</p>{over_time}"
        f"<h3>Rows by worker</h3>{by_worker}"
        f"<h3>Seconds of work by stage, of all workers</h3>{by_stage}"
    )


def _pairs(times: Record, names: str, series: str) -> Iterable[tuple[str, Sequence[float]]]:
    return zip(times[names], times[series], strict=True)


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    numbers: Container[str] = (),
) -> str:
    """Return a table that can be scrolled with the keyboard.

    Args:
        caption: what it shows, for whoever does not see it.
        head: titles of its columns.
        rows: their cells.
        numbers: titles of columns that hold numbers.
    """
    kinds = [' class="number"' if title in numbers else "" for title in head]
    titles = "".join(
        f'<th scope="col"{kind}>{text(title)}</th>' for title, kind in zip(head, kinds, strict=True)
    )
    lines = (
        "".join(f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figures(scope: str, listed: Mapping[str, Figure]) -> str:
    """Return the places of figures that the page draws, each with its title and caption.

    Args:
        scope: what they are of: "output" where the choice of an output decides.
        listed: the figures by name.
    """
    return "".join(
        f'<figure id="{name}"><h3 id="{name}-title">{text(figure.title)}</h3>'
        f'<div class="plot" role="img" data-figure="{name}" data-scope="{scope}" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-caption"></div>'
        f'<p class="absent" hidden></p><figcaption id="{name}-caption">'
        f'<span class="caption">{text(figure.caption)}</span>'
        f'<span class="reading"></span></figcaption></figure>'
        for name, figure in listed.items()
    )


def options(names: Iterable[str]) -> str:
    """Return the entries of a picker, whose values are positions."""
    return "".join(f'<option value="{at}">{text(name)}</option>' for at, name in enumerate(names))


def one_output(
    names: Sequence[str],
    by: str,
    groups: Sequence[str],
    listed: Mapping[str, Figure],
    side_by_side: Mapping[str, Figure],
) -> str:
    """Return the section of the output that is chosen.

    Args:
        names: of the outputs.
        by: the column that groups are told by.
        groups: names of the groups; none: there is no picker of them.
        listed: the figures of an output, by name.
        side_by_side: those that compare groups.
    """
    picker = f'<label>Output <select id="output">{options(names)}</select></label>'
    of_all = '<span class="of-all"></span>'  # says so, where a table is not of the chosen group
    compared = ""
    if groups:
        listed_groups = options([ALL_ROWS, *groups])
        picker += f'<label>{text(by)} <select id="group">{listed_groups}</select></label>'
        compared = (
            f'<div class="figures">{figures("groups", side_by_side)}</div>'
            f"{_place_of_table('group-numbers', f'By {by}, in numbers')}"
        )
    tables = "".join(
        _place_of_table(name, title)
        for name, title in (
            ("jacobian-numbers", "First derivatives J in numbers"),
            ("hessian_diag-numbers", "Second derivatives D in numbers"),
            ("input-numbers", "Inputs, and bounds on their total Sobol indices"),
        )
    )
    return (
        f'<div class="pickers">{picker}</div><p>Shown: <strong id="chosen" aria-live="polite">'
        '</strong><span id="rows"></span>. Deviations s of inputs are those over all rows.</p>'
        f'{compared}<div class="figures">{figures("output", listed)}</div>{tables}'
        f"<p>An index is at most 1: a bound that is not below 1 says nothing. {of_all}</p>"
        f'<details id="curves"><summary>Dependence curves in numbers</summary><p>{of_all}</p>'
        '<div class="scroll" role="region" tabindex="0" aria-label="Dependence curves in numbers" '
        'id="curve-numbers"></div></details>'
        f"{_place_of_table('extremes', 'The most extreme rows')}"
        f'<p><span id="extremes-of"></span> {of_all}</p>'
    )


def _place_of_table(name: str, title: str) -> str:
    return (
        f'<h3>{text(title)}</h3><div class="scroll" role="region" tabindex="0" '
        f'aria-label="{text(title)}" id="{name}"></div>'
    )
