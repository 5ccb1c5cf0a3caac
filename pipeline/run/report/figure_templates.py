"""The traces and layouts of a report's figures, as templates (see `templates`)."""

from typing import Any

_MOST_CURVES = 8
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px", "1px,4px")
_COLOURS = ("$first", "$second", "$third", "$quiet")

Template = dict[str, Any]


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


def sensitivity() -> Template:
    """Return the figure: how strong each input is, with the mean and the range of its effect."""
    above, below = "@jacobian.q95 - jacobian.mean", "@jacobian.mean - jacobian.q05"
    mean = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean",
        "meta": "@means_alone",  # where there are no quantiles; else the next trace is drawn
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


def distribution() -> Template:
    """Return the figure: the share of rows with at most a value."""
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


def spread(quantity: str, power: int, colour: str, title: str) -> Template:
    """Return the figure: boxes of a derivative over the rows, by input.

    Args:
        quantity: whose quantiles a record has.
        power: of the input's deviation that it is multiplied by.
        colour: of the boxes, in the palette.
        title: of the axis.
    """
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


def second_order() -> Template:
    """Return the figure: sizes of first and second order by input, which may differ by decades."""

    def sizes(quantity: str, power: int, name: str, colour: str, symbol: str) -> Template:
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": _scaled(f"{quantity}.root_mean_square", power),
            "y": "@positions",
            "text": "@labels",
            "hovertemplate": f"%{{text}}: {name} %{{x:.4g}}<extra></extra>",
            "marker": {"color": colour, "symbol": symbol, "size": 11},
        }

    x = {**_title("root mean square"), "type": "log", "exponentformat": "power"}
    return {
        "data": [
            sizes("jacobian", 1, "J s", "$first", "circle"),
            sizes("hessian_diag", 2, "D s²", "$second", "diamond"),
        ],
        "layout": _layout(x, {**_BY_INPUT, "showgrid": True}, height="@height"),
    }


def convexity() -> Template:
    """Return the figure: shares of rows that are convex, concave and neither, by input."""

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


def curves(quantity: str, power: int, title: str) -> Template:
    """Return the figure: means over bins of an input, a line for each of the strongest inputs.

    Args:
        quantity: whose means a record has.
        power: of the input's deviation that it is multiplied by.
        title: of the axis.
    """

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


def heat_map(quantity: str, title: str) -> Template:
    """Return the figure: a map of outputs and inputs.

    Args:
        quantity: whose map a record has.
        title: of the colours.
    """
    cells = {
        "type": "heatmap",
        "x": "@maps.inputs",
        "y": "@maps.outputs",
        "z": f"@maps.{quantity}",
        "zmin": 0,
        "zmax": f"@maps.{quantity}_largest",  # the one without the other is ignored
        "colorscale": "$scale",
        "colorbar": {**_title(title), "thickness": 14},
        "hovertemplate": "%{y} by %{x}: %{z:.4g}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    axis: Template = {
        "type": "category",
        "dtick": 1,  # all labels
        "showgrid": False,
        "zeroline": False,
        "automargin": False,  # to try it for a hundred labels takes most of a page's time
    }
    return {
        "data": [cells],
        "layout": _layout(
            {**axis, "tickangle": -45},
            {**axis, "autorange": "reversed"},
            height="@maps.height",
            margin={"l": "@maps.left", "r": 20, "t": 10, "b": "@maps.below"},
        ),
    }


def over_time(series: str, names: str, count: int, title: str) -> Template:
    """Return the figure: bars over time, one on another.

    Args:
        series, names: what a record has of each kind of bars, in lists.
        count: how many kinds there are.
        title: of the axis.
    """

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
