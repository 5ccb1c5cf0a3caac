"""The figures of a report: their titles, captions and colours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..quantiles import SAID
from ..standard_error import LEAST_ROWS
from .curve_templates import bands, curves
from .group_templates import group_strengths, group_values
from .layouts import Template
from .output_templates import convexity, distribution, second_order, sensitivity, spread
from .run_templates import heat_map, over_time

# Against its paper each colour has a contrast of at least 4.5, so that a thin line is seen; and so
# has the text against each colour between the ends of "scale_under_text".
PALETTES: Mapping[str, Mapping[str, Any]] = {
    "light": {
        "paper": "#ffffff",
        "text": "#1f2328",
        "grid": "#d8dce1",
        "first": "#1f5fbf",
        "second": "#b54708",
        "third": "#0b7a55",
        "quiet": "#6b7280",
        "band": "#c9dbf5",
        "scale": [[0, "#f3f6fb"], [0.25, "#b7cdea"], [0.6, "#4a82c9"], [1, "#0f2f66"]],
        "scale_under_text": [[0, "#f3f6fb"], [1, "#86aee2"]],
    },
    "dark": {
        "paper": "#15181d",
        "text": "#e6e9ed",
        "grid": "#3a4049",
        "first": "#82b1ff",
        "second": "#ffab66",
        "third": "#62d3a8",
        "quiet": "#9aa4b2",
        "band": "#2c4063",
        "scale": [[0, "#1c2129"], [0.25, "#28467a"], [0.6, "#5b93e0"], [1, "#e4efff"]],
        "scale_under_text": [[0, "#1c2129"], [1, "#2c5596"]],
    },
}


_BOXES = (
    f"Quantiles are {SAID} of the number; where that is more than a tenth of the deviation, "
    "there is no box."
)


class Figure(NamedTuple):
    """A figure of a report.

    Attributes:
        title: over it.
        caption: what it shows, in a sentence or two.
        template: its traces and layout.
    """

    title: str
    caption: str
    template: Template


def of_output(panels: int) -> dict[str, Figure]:
    """Return the figures that are drawn of each output, by name.

    Args:
        panels: how many dependence curves have bands, and so a panel of their own; 0: none has.
    """
    return {
        "sensitivity": Figure(
            "Which inputs matter",
            "Bars: root mean square of the derivative J times the input's deviation s, in units of "
            "the output. Diamonds: mean of J s. Thin lines: 1.96 standard errors to each side, as "
            "if the rows were a random sample, with s taken as exact; for a bar, the most that "
            "these rows allow. They are too short where few rows, or rare large ones, decide; "
            f"below {LEAST_ROWS} rows none are drawn. If the rows are all that there are, nothing "
            "is uncertain. Of an input that does not vary s is 0, and so is J s, whatever J is.",
            sensitivity(),
        ),
        "distribution": Figure(
            "How the output is distributed",
            "The share of rows with at most this value, at the minimum, nine quantiles and the "
            f"maximum. Quantiles are {SAID} of the number.",
            distribution(),
        ),
        "spread": Figure(
            "How the first derivatives are distributed",
            "J s over the rows. Box: from the 25% to the 75% quantile, with the median; whiskers: "
            f"from the 5% to the 95% quantile. {_BOXES}",
            spread("jacobian", 1, "first", "J s"),
        ),
        "second_spread": Figure(
            "How the second derivatives are distributed",
            "D s² over the rows. Box: from the 25% to the 75% quantile, with the median; whiskers: "
            f"from the 5% to the 95% quantile. {_BOXES}",
            spread("hessian_diag", 2, "second", "D s²"),
        ),
        "second_order": Figure(
            "Where the second order matters",
            "Root mean squares of J s and of D s², on a logarithmic scale (what is zero is not "
            "drawn). For a step of one deviation s, half of the second stands beside the first in "
            "the Taylor series.",
            second_order(),
        ),
        "convexity": Figure(
            "Convex or concave",
            "The share of rows whose second derivative with respect to an input is positive "
            "(convex), negative (concave) or zero.",
            convexity(),
        ),
        **_curves(panels),
    }


def _curves(panels: int) -> dict[str, Figure]:
    """Return the figures of dependence curves, by name."""
    drawn = (
        ("value", 0, "value", "How the value depends on an input"),
        ("jacobian", 1, "J s", "How the first derivative depends on its input"),
        ("hessian_diag", 2, "D s²", "How the second derivative depends on its input"),
    )
    where = "over the rows whose input lies in a bin of its range"
    others = "the other inputs vary as they do in the data."
    listed = {}
    for quantity, power, what, title in drawn:
        # Of second derivatives a few rows are so large that all other panels would be flat.
        shared = quantity != "hessian_diag"
        which = "All panels have the same" if shared else "Each panel has its own"
        if panels:
            caption = (
                f"Mean and median of {what}, and the band from its 10% to its 90% quantile, "
                f"{where}; {others} {which} vertical axis."
            )
            template = bands(quantity, power, what, panels, shared)
        else:
            caption = (
                f"Mean of {what} {where}, in deviations from its mean; {others} Sentences and "
                "tables have inputs in their own units."
            )
            template = curves(quantity, power, what)
        if quantity == "value":
            caption += (
                " The range is the trained one; where none is known, that of a sample of the "
                "input's values. Of many rows, means are over a sample; median and band are over a "
                "smaller sample, where a bin has ten rows of it."
            )
        listed[f"{quantity}_curves"] = Figure(title, caption, template)
    return listed


def of_groups() -> dict[str, Figure]:
    """Return the figures that compare groups, of each output, by name."""
    return {
        "group_values": Figure(
            "The output in each group",
            "Dots: mean over the rows of a group. Lines: one standard deviation of these rows to "
            "each side.",
            group_values(),
        ),
        "group_strengths": Figure(
            "Which inputs matter in each group",
            "Root mean square of J s over the rows of a group, for the inputs that are strongest "
            "over all rows; s is that over all rows, so that groups compare.",
            group_strengths(),
        ),
    }


def of_all_outputs() -> dict[str, Figure]:
    """Return the figures that show all outputs at once, by name."""
    unit = (
        "divided by the output's deviation s_y (not divided, where the run kept no values). An "
        "output that does not vary has none: its row is blank"
    )
    return {
        "jacobian_map": Figure(
            "First derivatives of all outputs",
            f"Root mean square of J s, {unit}.",
            heat_map("jacobian", "J s / s_y"),
        ),
        "hessian_diag_map": Figure(
            "Second derivatives of all outputs",
            f"Root mean square of D s², {unit}.",
            heat_map("hessian_diag", "D s² / s_y"),
        ),
    }


def of_throughput(workers: int, stages: int) -> dict[str, Figure]:
    """Return the figures of rows and seconds over time, by name.

    Args:
        workers: how many have rows of their own, those that are added up included.
        stages: how many there are.
    """
    return {
        "throughput_by_worker": Figure(
            "Rows in a second, by worker",
            "Rows of shards that were done in an interval, over its length: all rows of a shard "
            "count where it ends.",
            over_time("worker_rows", "worker_names", workers, "rows/s"),
        ),
        "throughput_by_stage": Figure(
            "Seconds of work, by stage",
            "Seconds of all workers on shards that were done in an interval, over its length: 1 is "
            "a worker that does nothing else. All seconds of a shard count where it ends, so that "
            "there may be more than workers.",
            over_time("stage_seconds", "stage_names", stages, "workers"),
        ),
    }
