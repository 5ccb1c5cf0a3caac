"""A report of a run: its page, and its figures as objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.wording import counted

from . import sections
from .derived import DerivedTable
from .drawing.figures import (
    PALETTES,
    Figure,
    of_all_outputs,
    of_groups,
    of_output,
    of_throughput,
)
from .drawing.library import plotly_figure, plotly_script
from .drawing.templates import filled
from .facts import Facts
from .labels import labels_of
from .page import make_page
from .records import Record

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Totals(NamedTuple):
    """How many there are; fewer may be shown.

    Attributes:
        inputs: that outputs were differentiated with respect to.
        groups: that have statistics.
    """

    inputs: int
    groups: int


@dataclass(frozen=True)
class Report:
    """What a published run says, ready to be drawn.

    Attributes:
        facts: what the run says of itself.
        outputs, inputs: names of the network's outputs and inputs.
        shared: what figures refer to, whichever the output.
        records: what is said of each output that is shown; none without summaries.
        why_no_records: a sentence on why there are none, if so.
        grouped_by: the column that tells a row's group; empty without groups.
        groups: the same of each group that is shown, by its name.
        less_of_groups: why there is less of each group than of all rows; empty if there is not.
        columns: of the dataset, that extreme rows are shown with.
        left_out: a sentence on each thing that is not shown.
        not_kept: of figures that show what the run did not keep, a sentence that says so, by name.
        derived: statistics of derived columns.
        totals: how many inputs and groups there are.
    """

    facts: Facts
    outputs: Sequence[str]
    inputs: Sequence[str]
    shared: Record
    records: Sequence[Record]
    why_no_records: str
    grouped_by: str
    groups: Mapping[str, Sequence[Record]]
    less_of_groups: str
    columns: Sequence[str]
    left_out: Sequence[str]
    not_kept: Mapping[str, str]
    derived: DerivedTable
    totals: Totals

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures that `figure` draws, by name."""
        listed: dict[str, Figure] = {}
        if self.records:
            listed = self._of_output() | self._of_groups() | of_all_outputs()
        if "throughput" in self.shared:
            throughput = self.shared["throughput"]
            counts = (len(throughput[f"{each}_names"]) for each in ("worker", "stage"))
            listed |= of_throughput(*counts)
        return listed

    def _of_output(self) -> dict[str, Figure]:
        return of_output(_panels(self.records))

    def _of_a_group(self) -> dict[str, Figure]:
        """Return the figures of an output, as they are drawn of a group."""
        if not self.groups:
            return {}
        return of_output(max(map(_panels, self.groups.values())))

    def _of_groups(self) -> dict[str, Figure]:
        return of_groups() if self.groups else {}

    def figure(self, name: str, output: str | None = None, group: str | None = None) -> "go.Figure":
        """Return a figure as an object of Plotly, to be shown in a notebook or changed.

        Args:
            name: one of `figures`.
            output: whose figure it is; None: the first output's. Some figures are of all outputs.
            group: whose rows it is of; None: all rows. Figures that compare groups are of all of
                them all the same.

        Raises:
            UsageError: if there is no such figure, output or group in the report, or the figure has
                nothing to show of it, with the reason.
        """
        if name not in self.figures:
            raise UsageError(f"no figure '{name}': there are {listed(self.figures, 20)}")
        record = self._record(output or self.outputs[0], group) if self.records else {}
        of_all = name in of_all_outputs() or name in of_throughput(0, 0)
        if of_all and group is not None:
            raise UsageError(f"figure '{name}' is of all rows together: leave group out")
        if name in self._of_groups():
            group, record = None, self._record(output or self.outputs[0], None)
        described = self.figures[name] if group is None else self._of_a_group()[name]
        figure = filled(described.template, {**self.shared, **record}, PALETTES["light"])
        if not figure["data"]:
            whole = self._record(output or self.outputs[0], None) if self.records else {}
            why = self._why_empty(name, record, whole)
            raise UsageError(f"figure '{name}' has nothing to show: {why}")
        made = plotly_figure(figure)
        (label,) = labels_of([output or self.outputs[0]])
        rows = "" if group is None else f", {labels_of([group])[0]}"
        of = "" if of_all else f" – {label}{rows}"
        made.update_layout(title={"text": f"{described.title}{of}"}, margin={"t": 90})
        return made

    def _why_empty(self, name: str, record: Record, whole: Record) -> str:
        """Return why a figure of a record shows nothing; `whole`: that of all rows."""
        if name in record.get("absent", {}):
            return str(record["absent"][name])
        template = self.figures[name].template
        kept = filled(template, {**self.shared, **whole}, PALETTES["light"])["data"]
        if kept and self.less_of_groups:
            return f"it is of all rows together, since {self.less_of_groups}: leave group out"
        if kept:
            return "the group's rows are too few for it, or all of it is zero"
        return self.not_kept.get(
            name, "the run computed or kept nothing of it, or all of it is zero"
        )

    def _record(self, output: str, group: str | None) -> Record:
        if output not in self.outputs[: len(self.records)]:
            raise UsageError(f"output '{output}' is not in the report")
        if group is not None and group not in self.groups:
            raise UsageError(
                f"group '{group}' is not in the report: there are {listed(self.groups, 20)}"
            )
        at = list(self.outputs).index(output)
        return self.records[at] if group is None else self.groups[group][at]

    def data(self) -> dict[str, Any]:
        """Return what the page's scripts are given: plain values, as JSON has them."""
        return {
            "outputs": list(self.outputs[: len(self.records)]),
            "inputs": list(self.inputs),
            "palettes": PALETTES,
            "figures": {name: figure.template for name, figure in self.figures.items()},
            "shared": self.shared,
            "records": list(self.records),
            "grouped_by": self.grouped_by,
            "groups": [{"name": n, "records": list(r)} for n, r in self.groups.items()],
            "less_of_groups": self.less_of_groups,
            "group_figures": {n: f.template for n, f in self._of_a_group().items()},
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
                "Numbers are rounded to six digits, in tables and sentences to four. This file "
                "needs no network."
            ),
        }
        return make_page(parts, self.data(), plotly_script())

    def _parts(self) -> dict[str, str]:
        """Return the sections that are drawn, or why they are not."""
        without = f'<p class="notice">{sections.text(self.why_no_records)}</p>'
        parts = {"all": without, "one": without}
        if self.records:
            shown = sections.outputs(self.outputs, self.inputs, self.records)
            maps = sections.figures("all", of_all_outputs())
            derived = sections.derived(self.derived, self.grouped_by)
            parts = {"all": f"{shown}{maps}{derived}", "one": self._one()}
        throughput = self.shared.get("throughput")
        parts["time"] = (
            sections.throughput(throughput, of_throughput(0, 0))
            if throughput
            else f'<p class="notice">{sections.text(self.facts.why_no_throughput)}</p>'
        )
        return parts

    def _one(self) -> str:
        names, groups = self.outputs[: len(self.records)], list(self.groups)
        drawn = self._of_output(), self._of_groups()
        return sections.one_output(names, self.grouped_by, groups, *drawn)


def _panels(records: Sequence[Record]) -> int:
    """Return how many dependence curves with bands each record has; 0: they have no bands."""
    banded = any(name.endswith("_median") for r in records for c in r["curves"] for name in c)
    return max((len(record["curves"]) for record in records), default=0) if banded else 0
