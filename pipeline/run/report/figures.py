"""The figures of a report, as templates (see `templates`), and their colours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_MOST_CURVES = 8

# Against its paper each colour has a contrast of at least 4.5, so that a thin line is seen.
PALETTES: Mapping[str, Mapping[str, Any]] = {
    "light": {
        "paper": "#ffffff",
        "text": "#1f2328",
        "grid": "#d8dce1",
        "first": "#1f5fbf",
        "second": "#b54708",
        "third": "#0b7a55",
        "quiet": "#6b7280",
        "scale": [[0, "#f3f6fb"], [0.25, "#b7cdea"], [0.6, "#4a82c9"], [1, "#0f2f66"]],
    },
    "dark": {
        "paper": "#15181d",
        "text": "#e6e9ed",
        "grid": "#3a4049",
        "first": "#82b1ff",
        "second": "#ffab66",
        "third": "#62d3a8",
        "quiet": "#9aa4b2",
        "scale": [[0, "#1c2129"], [0.25, "#28467a"], [0.6, "#5b93e0"], [1, "#e4efff"]],
    },
}
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px", "1px,4px")
_COLOURS = ("$first", "$second", "$third", "$quiet")

Template = dict[str, Any]


class Figure(NamedTuple):
    """A figure of a report.

    Attributes:
        title: over it.
        caption: what it shows, in a sentence or two.
        template: its traces and layout; empty `data` where a run has nothing for it.
    """

    title: str
    caption: str
    template: Template


def of_output() -> dict[str, Figure]:
    """Return the figures that are drawn of each output, by name."""
    return {
        "sensitivity": Figure(
            "Which inputs matter",
            "Bars: root mean square of the derivative J times the input's deviation s, in units of "
            "the output. Diamonds: the mean of J s, and its range from the 5% to the 95% quantile "
            "of the rows (all rows only).",
            _sensitivity(),
        ),
        "distribution": Figure(
            "How the output is distributed",
            "The share of rows with at most this value, at the minimum, nine quantiles and the "
            "maximum.",
            _distribution(),
        ),
        "spread": Figure(
            "How the first derivatives are distributed",
            "J s over the rows. Box: from the 25% to the 75% quantile, with the median; whiskers: "
            "from the 5% to the 95% quantile.",
            _spread("jacobian", 1, "first", "J s"),
        ),
        "second_spread": Figure(
            "How the second derivatives are distributed",
            "D s² over the rows, as above.",
            _spread("hessian_diag", 2, "second", "D s²"),
        ),
        "second_order": Figure(
            "Where the second order matters",
            "Root mean squares of J s and of D s². For a step of one deviation s, half of the "
            "second stands beside the first in the Taylor series.",
            _second_order(),
        ),
        "convexity": Figure(
            "Convex or concave",
            "The share of rows whose second derivative with respect to an input is positive "
            "(convex), negative (concave) or zero.",
            _convexity(),
        ),
        "value_curves": Figure(
            "How the value depends on an input",
            "Mean value over the rows whose input lies in a bin; inputs in deviations from their "
            "mean. Other inputs vary as they do in the data.",
            _curves("value", 0, "mean value"),
        ),
        "jacobian_curves": Figure(
            "How the first derivative depends on its input",
            "Mean of J s over the rows whose input lies in a bin.",
            _curves("jacobian", 1, "mean J s"),
        ),
        "hessian_diag_curves": Figure(
            "How the second derivative depends on its input",
            "Mean of D s² over the rows whose input lies in a bin.",
            _curves("hessian_diag", 2, "mean D s²"),
        ),
    }


def of_all_outputs() -> dict[str, Figure]:
    """Return the figures that show all outputs at once, by name."""
    unit = "in units of the output's deviation (in those of the output, where no values were kept)"
    return {
        "jacobian_map": Figure(
            "First derivatives of all outputs",
            f"Root mean square of J s, {unit}.",
            _heat_map("jacobian", "J s / s_y"),
        ),
        "hessian_diag_map": Figure(
            "Second derivatives of all outputs",
            f"Root mean square of D s², {unit}.",
            _heat_map("hessian_diag", "D s² / s_y"),
        ),
    }


def of_throughput(workers: int) -> dict[str, Figure]:
    """Return the figures of rows and seconds over time, by name.

    Args:
        workers: how many have rows of their own, those that are added up included.
    """
    return {
        "throughput_by_worker": Figure(
            "Rows in a second, by worker",
            "Rows of shards that were done in an interval, over its length.",
            _over_time("worker_rows", "worker_names", workers, "rows/s"),
        ),
        "throughput_by_stage": Figure(
            "Seconds of work, by stage",
            "Seconds of all workers on shards that were done in an interval, over its length: 1 is "
            "a worker that does nothing else.",
            _over_time("stage_seconds", "stage_names", 4, "workers"),
        ),
    }


def _layout(x: Template, y: Template, **more: Any) -> Template:
    """Return a layout of two axes; `more` adds to the common settings, or replaces them."""
    common = {"gridcolor": "$grid", "zerolinecolor": "$quiet", "linecolor": "$grid"}
    return {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "$text"},
        "paper_bgcolor": "$paper",
        "plot_bgcolor": "$paper",
        "margin": {"l": 60, "r": 20, "t": 10, "b": 50},
        "height": 380,
        "autosize": True,
        "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
        "dragmode": False,
        "xaxis": {**common, "automargin": True, **x},
        "yaxis": {**common, "automargin": True, **y},
        **more,
    }


def _title(text: str) -> Template:
    return {"title": {"text": text}}


_BY_INPUT: Template = {
    "tickmode": "array",
    "tickvals": "@positions",
    "ticktext": "@labels",
    "autorange": "reversed",
    "showgrid": False,
    "zeroline": False,
}


def _pattern(shape: str) -> Template:
    """Return what tells bars apart for whoever does not see their colours."""
    return {"shape": shape, "fgcolor": "$paper", "fillmode": "overlay", "solidity": 0.2}


def _scaled(path: str, power: int) -> str:
    return f"@{path}" + " * deviation" * power


def _sensitivity() -> Template:
    above, below = "@jacobian.q95 - jacobian.mean", "@jacobian.mean - jacobian.q05"
    mean = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean",
        "meta": "@group",  # of a group there are no quantiles; of all rows the next one is drawn
        "x": _scaled("jacobian.mean", 1),
        "y": "@positions",
        "text": "@labels",
        "hovertemplate": "%{text}: mean %{x:.4g}<extra></extra>",
        "marker": {"color": "$second", "symbol": "diamond", "size": 9},
    }
    interval = {
        **mean,
        "meta": None,
        "name": "mean, 5% to 95%",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": f"{above} * deviation",
            "arrayminus": f"{below} * deviation",
            "color": "$second",
            "thickness": 2,
        },
    }
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "root mean square",
        "x": _scaled("jacobian.root_mean_square", 1),
        "y": "@positions",
        "text": "@labels",
        "textposition": "none",
        "hovertemplate": "%{text}: root mean square %{x:.4g}<extra></extra>",
        "marker": {"color": "$first"},
    }
    layout = _layout(_title("J s"), _BY_INPUT, height="@height")
    return {"data": [bars, mean, interval], "layout": layout}


def _distribution() -> Template:
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "value",
        "x": "@value.points",
        "y": "@levels",
        "hovertemplate": "%{y:.0%} of rows up to %{x:.5g}<extra></extra>",
        "line": {"color": "$first", "width": 2},
    }
    share = {**_title("share of rows"), "tickformat": ".0%", "range": [-0.03, 1.03]}
    return {"data": [line], "layout": _layout(_title("value"), share)}


def _spread(quantity: str, power: int, colour: str, title: str) -> Template:
    box = {
        "type": "box",
        "orientation": "h",
        "name": title,
        "y": "@positions",
        **{
            end: _scaled(f"{quantity}.{quantile}", power)
            for end, quantile in (
                ("lowerfence", "q05"),
                ("q1", "q25"),
                ("median", "q50"),
                ("q3", "q75"),
                ("upperfence", "q95"),
            )
        },
        "line": {"color": f"${colour}", "width": 2},
        "fillcolor": "$paper",
    }
    return {"data": [box], "layout": _layout(_title(title), _BY_INPUT, height="@height")}


def _second_order() -> Template:
    def bars(quantity: str, power: int, name: str, colour: str, pattern: str) -> Template:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": _scaled(f"{quantity}.root_mean_square", power),
            "y": "@positions",
            "text": "@labels",
            "textposition": "none",
            "hovertemplate": f"%{{text}}: {name} %{{x:.4g}}<extra></extra>",
            "marker": {"color": colour, "pattern": _pattern(pattern)},
        }

    return {
        "data": [
            bars("jacobian", 1, "J s", "$first", ""),
            bars("hessian_diag", 2, "D s²", "$second", "/"),
        ],
        "layout": _layout(_title("root mean square"), _BY_INPUT, height="@height * 1.3"),
    }


def _convexity() -> Template:
    def bars(share: str, name: str, colour: str, pattern: str) -> Template:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": share,
            "y": "@positions",
            "text": "@labels",
            "textposition": "none",
            "hovertemplate": f"%{{text}}: {name} on %{{x:.1%}} of rows<extra></extra>",
            "marker": {"color": colour, "pattern": _pattern(pattern)},
        }

    zero = "@1 - hessian_diag.positive - hessian_diag.negative"
    share = {**_title("share of rows"), "tickformat": ".0%", "range": [0, 1]}
    return {
        "data": [
            bars("@hessian_diag.positive", "convex", "$first", ""),
            bars("@hessian_diag.negative", "concave", "$second", "/"),
            bars(zero, "zero", "$quiet", "."),
        ],
        "layout": _layout(share, _BY_INPUT, height="@height", barmode="stack"),
    }


def _curves(quantity: str, power: int, title: str) -> Template:
    def line(at: int) -> Template:
        curve = f"curves.{at}"
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"@{curve}.label",
            "x": f"@{curve}.at - {curve}.mean / {curve}.deviation",
            "y": f"@{curve}.{quantity}" + f" * {curve}.deviation" * power,
            "customdata": f"@{curve}.at",
            "hovertemplate": "at %{customdata:.4g}: %{y:.4g}",
            "line": {"color": _COLOURS[at % 4], "dash": _DASHES[at], "width": 2},
            "marker": {"symbol": at, "size": 6},
        }

    return {
        "data": [line(at) for at in range(_MOST_CURVES)],
        "layout": _layout(
            _title("input, in deviations from its mean"), _title(title), showlegend=True
        ),
    }


def _heat_map(quantity: str, title: str) -> Template:
    cells = {
        "type": "heatmap",
        "z": f"@maps.{quantity}",
        "zmin": 0,
        "colorscale": "$scale",
        "colorbar": {**_title(title), "thickness": 14},
        "hovertemplate": "%{z:.4g}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }

    def axis(positions: str, labels: str) -> Template:
        labelled = {"tickvals": f"@maps.{positions}", "ticktext": f"@maps.{labels}"}
        # Room for a hundred labels is not found out by trying: that takes most of a page's time.
        fixed = {"automargin": False, "showgrid": False, "zeroline": False}
        return {"tickmode": "array", **fixed, **labelled}

    return {
        "data": [cells],
        "layout": _layout(
            {**axis("columns", "inputs"), "tickangle": -45},
            {**axis("rows", "outputs"), "autorange": "reversed"},
            height="@maps.height",
            margin={"l": "@maps.left", "r": 20, "t": 10, "b": "@maps.below"},
        ),
    }


def _over_time(series: str, names: str, count: int, title: str) -> Template:
    def bars(at: int) -> Template:
        return {
            "type": "bar",
            "name": f"@throughput.{names}.{at}",
            "x": "@throughput.middles",
            "y": f"@throughput.{series}.{at} / throughput.interval_seconds",
            "width": "@throughput.interval_seconds",
            "hovertemplate": "%{y:.4g}",
            "marker": {
                "color": _COLOURS[at % 4],
                "pattern": _pattern(("", "/", ".", "x")[at // 4 % 4]),
            },
        }

    return {
        "data": [bars(at) for at in range(count)],
        "layout": _layout(
            {**_title("seconds since the workers were ready"), "rangemode": "tozero"},
            _title(title),
            barmode="stack",
            showlegend=True,
        ),
    }
