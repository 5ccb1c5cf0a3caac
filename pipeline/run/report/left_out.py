"""What a report does not show, in words: of what there is too much, and what was not kept."""

from hyperdiag.data.output_folder import EXTREMES, SUMMARY
from hyperdiag.messages.wording import counted
from hyperdiag.run.plan.plan import Plan
from hyperdiag.statistics.group_names import most_complete_groups

from .derived import DerivedTable
from .detail import MOST_IN_GROUP, Detail
from .groups import MOST_SIDE_BY_SIDE
from .summary_file import SummaryFile
from .summary_table import SummaryTable

_NO_QUANTILES = (
    "The run kept no quantiles: a row has too many numbers (pipeline/run/README.md says how many "
    "are too many)."
)
_NO_CURVES = (
    "The run kept no dependence curves: summary.bins asks for none, or there are too many outputs "
    "and inputs (pipeline/run/README.md says how many are too many)."
)
_NONE_OF_LAPLACIANS = "There are no dependence curves of a Laplacian."
_NO_BANDS = (
    "The run kept means of dependence curves, and no quantiles: no bin has ten rows, there are too "
    "many outputs and inputs, or it is of an earlier release."
)
_NO_SPREAD = "No output varies over the rows: there is no deviation to measure its derivatives by."
_OF_QUANTILES = ("distribution", "spread", "second_spread")
_OF_CURVES = ("value_curves", "jacobian_curves", "hessian_diag_curves")


def not_kept(table: SummaryTable) -> dict[str, str]:
    """Return, for figures that show what the run did not keep, a sentence that says so."""
    sentences: dict[str, str] = {}
    spread = table.of("value", "deviation")
    if spread is not None and not (spread > 0).any():
        sentences |= dict.fromkeys(("jacobian_map", "hessian_diag_map"), _NO_SPREAD)
    if not table.has_quantiles:
        sentences |= dict.fromkeys(_OF_QUANTILES, _NO_QUANTILES)
    if not table.has_curves:
        with_curves = {"value", "jacobian", "hessian_diag"} & table.numbers.keys()
        sentences |= dict.fromkeys(_OF_CURVES, _NO_CURVES if with_curves else _NONE_OF_LAPLACIANS)
    return sentences


def why_less_of_groups(plan: Plan, file: SummaryFile) -> str:
    """Return why there is less of each group than of all rows, in words; empty if there is not."""
    if not file.groups:
        return ""
    if plan.statistics and len(file.groups) > most_complete_groups(plan.statistics):
        return "there are too many groups"
    return "" if file.groups_are_complete else "the run is of an earlier release"


def left_out(
    plan: Plan,
    file: SummaryFile,
    detail: Detail,
    columns: DerivedTable,
    complaint: str | None,
) -> list[str]:
    """Return a sentence on each thing that is not shown.

    Args:
        plan: of the run.
        file: what it kept.
        detail: how much of it is shown.
        columns: what is shown of derived columns.
        complaint: why not more is shown of extreme rows, if so.
    """
    table = file.all_rows
    groups, side_by_side = len(file.groups), min(detail.groups, MOST_SIDE_BY_SIDE)
    m, k = len(plan.network.outputs), len(plan.kernel.directions)
    curves = k if table.has_curves else 0
    sentences = list(dict.fromkeys(not_kept(table).values()))
    if table.has_curves and not table.has_bands:
        sentences.append(_NO_BANDS)
    of_rows = " over the rows shown" if groups else ""
    for shown, total, what in (
        (detail.outputs, m, "outputs are shown, the first in the network's order"),
        (detail.inputs, k, f"inputs are shown of each output: the strongest{of_rows}, by J s"),
        (detail.curves, curves, "inputs have dependence curves: the strongest of each output"),
        (detail.map_outputs, m, "outputs are in the maps, the first in the network's order"),
        (detail.map_inputs, k, "inputs are in the maps: the strongest of any output there"),
        (detail.groups, groups, "groups can be chosen: those of the most rows"),
        (side_by_side, groups, "groups stand side by side in figures: those of the most rows"),
    ):
        if shown < total:
            sentences.append(f"{shown:,} of {total:,} {what}. All are in {SUMMARY}.")
    why_less = why_less_of_groups(plan, file)
    if why_less and plan.statistics:
        sentences.append(
            f"Of each group there are counts, means, deviations, extremes and signs, since "
            f"{why_less}; bounds, quantiles, curves and extreme rows are of all rows together. Of "
            f"up to {counted(most_complete_groups(plan.statistics), 'group')} such a run keeps "
            "these, too."
        )
    if columns.left_out:
        total = len(columns.rows) + columns.left_out
        sentences.append(
            f"{len(columns.rows):,} of {total:,} derived columns are shown, the first in the "
            f"output's order. All are in {SUMMARY}."
        )
    if columns.groups_left_out:
        shown = groups - columns.groups_left_out
        sentences.append(
            f"{shown:,} of {groups:,} groups are shown of each derived column: those of the most "
            f"rows. All are in {SUMMARY}."
        )
    if complaint:
        sentences.append(complaint)
    of_groups = ""
    if groups and not why_less:
        of_groups = f" (of a group {min(detail.extremes, MOST_IN_GROUP)})"
        if detail.group_curves < curves:
            sentences.append(
                f"{detail.group_curves:,} of {curves:,} inputs have dependence curves of a group: "
                f"the strongest in it. All are in {SUMMARY}."
            )
    if plan.statistics and not plan.statistics.extreme_rows:
        sentences.append("The run kept no extreme rows, as summary.extreme_rows asks for.")
    else:
        sentences.append(
            f"Of extreme rows, {detail.extremes} at most of each kind{of_groups}, and 8 of their "
            f"inputs; more may be in {EXTREMES}."
        )
    return sentences
