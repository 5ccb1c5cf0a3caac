"""Making reports: reading what a published run says, and writing the page."""

from collections.abc import Iterable, Sequence

import numpy as np

from hyperdiag.data.filesystem import Place, resolve
from hyperdiag.data.output_folder import DATA, MANIFEST, PLAN, REPORT, SUMMARY, write_file
from hyperdiag.messages.errors import InputError, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.manifest import Manifest, load_manifest
from hyperdiag.run.output.reader import Publication, consistently
from hyperdiag.run.output.reading.published_plan import published_plan
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import no_run

from .damaged import missing, unreadable
from .derived import NO_DERIVED, derived_table
from .destination import destination, write_page
from .detail import DATA_BYTES, Detail, first_detail, shown_pairs, strengths
from .drawing.library import check_plotly
from .extremes import add_extremes
from .facts import Facts, read_facts
from .groups import add_side_by_side, group_label
from .labels import labels_of
from .left_out import left_out, not_kept, why_less_of_groups
from .page import json_in_html
from .records import LEVELS, Record, heat_maps, records
from .report import Report, Totals
from .summary_file import SummaryFile
from .summary_table import Pair

_BINS = 32  # of a dependence curve, before they are counted


def read_report(path: str) -> Report:
    """Read what a published run says, all of one publication, whatever is published meanwhile.

    Args:
        path: the output folder, a local path or a URI.

    Raises:
        UsageError: if nothing is published there, or a file of it is damaged.
        InputError: if the output changed each time while it was read.
    """
    try:
        return consistently(path, lambda publication: _read(publication, path))
    except UsageError:
        output = resolve(path)
        if not (output / PLAN).exists():
            mend = (
                ", though there is data: put a copy of it back, or derive again into a new folder"
                if (output / DATA).exists()
                else ""
            )
            raise UsageError(f"output.path {masked(path)} {no_run(output)}{mend}") from None
        raise


def _read(publication: Publication, path: str) -> Report:
    """Return the report of a publication in the output at a path."""
    plan = published_plan(publication, path)
    folder = publication.folder
    try:
        manifest = load_manifest(folder)
    except (UsageError, ValueError) as error:
        raise unreadable(folder / MANIFEST, MANIFEST, error) from error
    if manifest.plan != plan.digest:
        raise InputError(f"{masked(path)}: {MANIFEST} is of {manifest.plan}, not of {plan.digest}")
    facts = read_facts(publication, plan, manifest)
    shared: Record = {"levels": list(LEVELS)}
    if facts.throughput:
        shared["throughput"] = facts.throughput
    if not manifest.rows.derived or not (folder / SUMMARY).exists():
        names = plan.network.outputs, plan.network.inputs
        why = _why_no_records(plan, manifest)
        totals = Totals(len(plan.kernel.directions), 0)
        return Report(facts, *names, shared, [], why, "", {}, "", [], [], {}, NO_DERIVED, totals)
    return _summarised(folder, plan, facts, shared)


def _why_no_records(plan: Plan, manifest: Manifest) -> str:
    rows = manifest.rows
    if not rows.derived:
        return (
            f"No row was derived: of {rows.read:,} read, {rows.filtered:,} were filtered out "
            f"and {rows.bad:,} quarantined. So nothing can be said of the outputs."
        )
    if plan.summary is not None:
        return f"{missing(SUMMARY)} These figures are drawn from it."
    return (
        f"The run kept no summaries ({SUMMARY}, summary.enabled), which these figures are "
        "drawn from. What the run says of itself stands above."
    )


def write_report(path: str, file: str | None = None) -> Place:
    """Make the report of a published run; return where it is.

    Args:
        path: the output folder, a local path or a URI.
        file: where the report goes, likewise, ending in .html or .htm; None: `run/report.html` in
            the output.

    Raises:
        UsageError: if nothing is published there, Plotly is not installed, or `file` cannot be a
            report's.
        OutputError: if the report cannot be written.
    """
    check_plotly("a report")
    place = None if file is None else destination(file)
    page = read_report(path).html()
    if place is None:
        output = resolve(path)
        write_file(output, REPORT, page)
        return output / REPORT
    write_page(place, page)
    return place


def _summarised(output: Place, plan: Plan, facts: Facts, shared: Record) -> Report:
    """Return the report of a run that kept summaries, in as much detail as its size allows."""
    network = plan.network
    derived = [name for block in plan.layout.derived for name in block.columns]
    file = SummaryFile(output, network.outputs, network.inputs, derived)
    sizes = len(network.outputs), len(network.inputs), len(file.groups)
    complete = not why_less_of_groups(plan, file)
    detail = first_detail(*sizes, complete, _BINS, file.all_rows.has_bands)
    while True:
        with np.errstate(all="ignore"):  # what is not finite is shown as a dash
            report = _detailed(output, plan, facts, dict(shared), file, detail)
        if detail.inputs == 1 or len(json_in_html(report.data())) <= DATA_BYTES:
            return report
        detail = detail.smaller()


def _detailed(
    folder: Place, plan: Plan, facts: Facts, shared: Record, file: SummaryFile, detail: Detail
) -> Report:
    outputs, inputs = plan.network.outputs, plan.network.inputs
    output_labels, input_labels = labels_of(outputs), labels_of(inputs)
    table, strength = file.all_rows, strengths(file.all_rows, file.all_rows)
    pairs = shown_pairs(strength, detail)
    groups = list(file.groups)[: detail.groups]
    tables = dict(zip(groups, file.of_groups(groups), strict=True))
    # Of a group the inputs that are strongest in it, which over all rows may be weak.
    group_pairs = {n: shown_pairs(strengths(each, table), detail) for n, each in tables.items()}
    curves, group_curves = file.curves(
        _first(pairs, detail.curves),
        {name: _first(each, detail.group_curves) for name, each in group_pairs.items()},
    )
    rows = facts.manifest.rows.derived
    shown = records(table, curves, pairs, input_labels, detail.curves, table, rows)
    by_group = {
        group_label(name): records(
            tables[name],
            its_curves,
            group_pairs[name],
            input_labels,
            detail.group_curves,
            table,
            file.groups[name],
        )
        for name, its_curves in zip(groups, group_curves, strict=True)
    }
    shared["curve_step"] = plan.summary.curve_step if plan.summary else 1
    shared["maps"] = heat_maps(table, strength, output_labels, input_labels, detail)
    if by_group:
        add_side_by_side(shown, by_group, [table, *tables.values()])
    derived = derived_table(table, tables, len(file.groups))
    columns, complaint = add_extremes(folder, plan, shown, by_group, outputs, detail.extremes)
    return Report(
        facts,
        outputs,
        inputs,
        shared,
        shown,
        "",
        file.grouped_by or "",
        by_group,
        why_less_of_groups(plan, file),
        columns,
        left_out(plan, file, detail, derived, complaint),
        not_kept(table),
        derived,
        Totals(len(plan.kernel.directions), len(file.groups)),
    )


def _first(pairs: Iterable[Sequence[Pair]], most: int) -> list[Pair]:
    """Return the first pairs of each output."""
    return [pair for of_output in pairs for pair in of_output[:most]]
