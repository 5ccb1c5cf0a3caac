"""A report of a run: its page, and its figures as objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperdiag.data.filesystem import Place, resolve
from hyperdiag.data.output_folder import MANIFEST, PLAN, REPORT, SUMMARY, THROUGHPUT, write_file
from hyperdiag.messages.errors import InputError, UsageError, listed
from hyperdiag.messages.masking import masked
from hyperdiag.messages.printable import printable_name
from hyperdiag.messages.wording import counted
from hyperdiag.run.output.manifest import load_manifest
from hyperdiag.run.output.reader import Publication, consistently
from hyperdiag.run.output.reading.published_plan import published_plan
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import no_run

from . import figures, sections
from .derived import DerivedTable, derived_table
from .destination import destination, write_page
from .detail import DATA_BYTES, Detail, first_detail, strengths
from .extremes import add_extremes
from .facts import Facts, read_facts
from .left_out import left_out, not_kept
from .library import check_plotly, plotly_figure, plotly_script
from .page import json_in_html, make_page
from .records import LEVELS, Record, heat_maps, records, records_of_groups
from .summary_table import SummaryTable
from .templates import filled

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LABEL_LETTERS = 32
_BINS = 32  # of a dependence curve, before they are counted


@dataclass(frozen=True)
class Report:
    """What a published run says, ready to be drawn.

    Attributes:
        facts: what the run says of itself.
        outputs, inputs: names of the network's outputs and inputs.
        shared: what figures refer to, whichever the output.
        records: what is said of each output that is shown; none without summaries.
        grouped_by: the column that tells a row's group; empty without groups.
        groups: the same of each group that is shown, by its name.
        columns: of the dataset, that extreme rows are shown with.
        left_out: a sentence on each thing that is not shown.
        not_kept: of figures that show what the run did not keep, a sentence that says so, by name.
        derived: statistics of derived columns.
    """

    facts: Facts
    outputs: Sequence[str]
    inputs: Sequence[str]
    shared: Record
    records: Sequence[Record]
    grouped_by: str
    groups: Mapping[str, Sequence[Record]]
    columns: Sequence[str]
    left_out: Sequence[str]
    not_kept: Mapping[str, str]
    derived: DerivedTable

    @property
    def figures(self) -> dict[str, figures.Figure]:
        """The figures that `figure` draws, by name."""
        listed = figures.of_output() | figures.of_all_outputs() if self.records else {}
        if "throughput" in self.shared:
            throughput = self.shared["throughput"]
            counts = (len(throughput[f"{each}_names"]) for each in ("worker", "stage"))
            listed |= figures.of_throughput(*counts)
        return listed

    @property
    def why_no_records(self) -> str:
        """Why nothing is said of any output, if so."""
        rows = self.facts.manifest.rows
        if not rows.derived:
            return (
                f"No row was derived: of {rows.read:,} read, {rows.filtered:,} were filtered out "
                f"and {rows.bad:,} quarantined. So nothing can be said of the outputs."
            )
        return (
            f"The run kept no summaries ({SUMMARY}, summary.enabled), which these figures are "
            "drawn from. What the run says of itself stands above."
        )

    def figure(self, name: str, output: str | None = None, group: str | None = None) -> "go.Figure":
        """Return a figure as an object of Plotly, to be shown in a notebook or changed.

        Args:
            name: one of `figures`.
            output: whose figure it is; None: the first output's. Some figures are of all outputs.
            group: whose rows it is of; None: all rows.

        Raises:
            UsageError: if there is no such figure, output or group in the report.
        """
        if name not in self.figures:
            raise UsageError(f"no figure '{name}': there are {listed(self.figures, 20)}")
        record = self._record(output or self.outputs[0], group) if self.records else {}
        described = self.figures[name]
        scope = {**self.shared, **record}
        made = plotly_figure(filled(described.template, scope, figures.PALETTES["light"]))
        (label,) = _labels([output or self.outputs[0]])
        of = f" – {label}" if name in figures.of_output() else ""
        made.update_layout(title={"text": f"{described.title}{of}"}, margin={"t": 90})
        return made

    def _record(self, output: str, group: str | None) -> Record:
        if output not in self.outputs[: len(self.records)]:
            raise UsageError(f"output '{output}' is not in the report")
        if group is not None and group not in self.groups:
            raise UsageError(f"group '{group}' is not in the report")
        at = list(self.outputs).index(output)
        return self.records[at] if group is None else self.groups[group][at]

    def data(self) -> dict[str, Any]:
        """Return what the page's scripts are given: plain values, as JSON has them."""
        return {
            "outputs": list(self.outputs[: len(self.records)]),
            "inputs": list(self.inputs),
            "palettes": figures.PALETTES,
            "figures": {name: figure.template for name, figure in self.figures.items()},
            "shared": self.shared,
            "records": list(self.records),
            "groups": [{"name": n, "records": list(r)} for n, r in self.groups.items()],
            "columns": list(self.columns),
            "not_kept": dict(self.not_kept),
        }

    def html(self) -> bytes:
        """Return the page."""
        manifest = self.facts.manifest
        title = f"{manifest.network.name}: derivatives of {counted(manifest.rows.derived, 'row')}"
        parts = {
            "title": sections.text(title),
            "subtitle": sections.text(f"{manifest.output}, finished {manifest.finished}"),
            "description": sections.description(self.facts),
            "checks": sections.checks(self.facts),
            "quarantined": sections.quarantined(self.facts.examples),
            **self._parts(),
            "left_out": "".join(f"<p>{sections.text(each)}</p>" for each in self.left_out)
            or "<p>Nothing.</p>",
            "footer": sections.text(
                f"Made by hyperdiag {version('hyperdiag')} with Plotly {version('plotly')}. "
                "Numbers are to six digits, quantiles as the run kept them. This file needs no "
                "network."
            ),
        }
        return make_page(parts, self.data(), plotly_script())

    def _parts(self) -> dict[str, str]:
        """Return the sections that are drawn, or why they are not."""
        without = f'<p class="notice">{sections.text(self.why_no_records)}</p>'
        parts = {"all": without, "one": without}
        if self.records:
            shown = sections.outputs(self.outputs, self.inputs, self.records)
            maps = sections.figures("all", figures.of_all_outputs())
            derived = sections.derived(self.derived)
            parts = {"all": f"{shown}{maps}{derived}", "one": self._one()}
        throughput = figures.of_throughput(0, 0) if "throughput" in self.shared else {}
        parts["time"] = (
            "<p>Of the last command that worked on the run.</p>"
            f'<div class="figures">{sections.figures("all", throughput)}</div>'
            if throughput
            else f'<p class="notice">There are no times: {sections.text(THROUGHPUT)} is not there, '
            "is damaged, or is of another plan.</p>"
        )
        return parts

    def _one(self) -> str:
        names = self.outputs[: len(self.records)]
        groups = list(self.groups)
        return sections.one_output(names, self.grouped_by, groups, figures.of_output())


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
            raise UsageError(f"output.path {masked(path)} {no_run(output)}") from None
        raise


def _read(publication: Publication, path: str) -> Report:
    """Return the report of a publication in the output at a path."""
    plan = published_plan(publication, path)
    try:
        manifest = load_manifest(publication.folder)
    except ValueError as error:
        raise UsageError(f"{masked(path)}: {MANIFEST} cannot be read: {error}") from error
    if manifest.plan != plan.digest:
        raise InputError(f"{masked(path)}: {MANIFEST} is of {manifest.plan}, not of {plan.digest}")
    facts = read_facts(publication, plan, manifest)
    shared: Record = {"levels": list(LEVELS)}
    if facts.throughput:
        shared["throughput"] = facts.throughput
    folder = publication.folder
    if not manifest.rows.derived or not (folder / SUMMARY).exists():
        names = plan.network.outputs, plan.network.inputs
        return Report(facts, *names, shared, [], "", {}, [], [], {}, DerivedTable([], [], 0))
    return _summarised(folder, plan, facts, shared)


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
    table = SummaryTable(output, network.outputs, network.inputs, derived)
    detail = first_detail(len(network.outputs), len(network.inputs), len(table.groups), _BINS)
    while True:
        with np.errstate(all="ignore"):  # what is not finite is shown as a dash
            report = _detailed(output, plan, facts, dict(shared), table, detail)
        if detail.inputs == 1 or len(json_in_html(report.data())) <= DATA_BYTES:
            return report
        detail = detail.smaller()


def _detailed(
    output: Place, plan: Plan, facts: Facts, shared: Record, table: SummaryTable, detail: Detail
) -> Report:
    outputs, inputs = plan.network.outputs, plan.network.inputs
    output_labels, input_labels = _labels(outputs), _labels(inputs)
    strength = strengths(table)
    shown = records(table, strength, input_labels, detail)
    shared["maps"] = heat_maps(table, strength, output_labels, input_labels, detail)
    groups = list(table.groups)[: detail.groups]
    columns, complaint = add_extremes(output, plan, shown, outputs, detail.extremes)
    return Report(
        facts,
        outputs,
        inputs,
        shared,
        shown,
        table.grouped_by or "",
        records_of_groups(table, shown, groups, input_labels) if groups else {},
        columns,
        left_out(plan, table, detail, complaint),
        not_kept(table),
        derived_table(table),
    )


def _labels(names: Sequence[str]) -> list[str]:
    """Return names as Plotly shows them, which takes some HTML for markup; no two are the same.

    Of long ones the middle is left out: what tells names apart stands at either end.
    """
    half = _LABEL_LETTERS // 2
    labels: dict[str, None] = {}
    for at, name in enumerate(names):
        label = name if len(name) <= _LABEL_LETTERS else f"{name[:half]}…{name[-half:]}"
        label = escape(printable_name(label), quote=False)
        labels[f"{label} [{at}]" if label in labels else label] = None
    return list(labels)
