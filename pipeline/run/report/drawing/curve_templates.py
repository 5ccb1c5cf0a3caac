"""Templates of dependence curves: how a number depends on an input (see `templates`)."""

from math import ceil

from .layouts import COLOURS, DASHES, Template, axis, layout, titled

MOST_CURVES = 8
_PANEL_HEIGHT, _PANEL_GAP, _LEGEND_HEIGHT = 200, 60, 40  # pixels


def curves(quantity: str, power: int, what: str) -> Template:
    """Return the figure: means over bins of an input, a line for each of the strongest inputs.

    Args:
        quantity: whose means a record has.
        power: of the input's deviation that it is multiplied by.
        what: the title of the axis.
    """

    def line(at: int) -> Template:
        curve = f"curves.{at}"
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"@{curve}.label",
            "x": f"@{curve}.at - {curve}.mean / {curve}.deviation",
            "y": _curve(at, quantity, power),
            "customdata": f"@{curve}.at",
            "hovertemplate": "at %{customdata:.4g}: %{y:.4g}",
            "line": {"color": COLOURS[at % 4], "dash": DASHES[at], "width": 2},
            "marker": {"symbol": at, "size": 6},
        }

    return {
        "data": [line(at) for at in range(MOST_CURVES)],
        "layout": layout(
            titled("input, in deviations from its mean"), titled(f"mean {what}"), showlegend=True
        ),
    }


def bands(quantity: str, power: int, what: str, count: int) -> Template:
    """Return the figure: a panel for each of the strongest inputs, with mean, median and a band.

    Args:
        quantity: whose means and quantiles a record has.
        power: of the input's deviation that it is multiplied by.
        what: the title of the axes, which all have the same range.
        count: how many panels.
    """
    rows, columns = ceil(count / 2), min(count, 2)
    step = _PANEL_HEIGHT + _PANEL_GAP
    inside = rows * step - _PANEL_GAP  # without margins
    axes: Template = {}
    for at in range(count):
        number = str(at + 1) if at else ""
        top, left = 1 - step * (at // 2) / inside, (at % 2) * 0.54
        axes[f"xaxis{number}"] = axis(
            title={"text": f"@curves.{at}.label", "standoff": 4},
            anchor=f"y{number}",
            domain=[left, left + 0.46] if columns == 2 else [0, 1],
            nticks=6,
            zeroline=False,
        )
        axes[f"yaxis{number}"] = axis(
            anchor=f"x{number}",
            domain=[max(top - _PANEL_HEIGHT / inside, 0.0), top],
            nticks=6,
            **({"matches": "y", "showticklabels": columns == 1 or at % 2 == 0} if at else {}),
            **(titled(what) if at % 2 == 0 else {}),
        )
    return {
        "data": [trace for at in range(count) for trace in _panel(at, quantity, power)],
        "layout": {
            **layout({}, {}, height=rows * step + _LEGEND_HEIGHT, showlegend=True),
            **axes,
            "margin": {"l": 60, "r": 20, "t": _LEGEND_HEIGHT, "b": _PANEL_GAP},
        },
    }


def _panel(at: int, quantity: str, power: int) -> list[Template]:
    number = str(at + 1) if at else ""

    def trace(ending: str, name: str, **more: object) -> Template:
        return {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "legendgroup": name,
            "showlegend": at == 0,
            "x": f"@curves.{at}.at",
            "y": _curve(at, f"{quantity}{ending}", power),
            "xaxis": f"x{number}",
            "yaxis": f"y{number}",
            "hovertemplate": f"{name} at %{{x:.4g}}: %{{y:.4g}}<extra></extra>",
            **more,
        }

    edge = {"color": "$first", "width": 0.5}
    band = "10% to 90% of rows"
    return [
        trace("_p10", "10%", legendgroup=band, showlegend=False, line=edge),
        trace("_p90", band, line=edge, fill="tonexty", fillcolor="$band")
        | {"hovertemplate": "90% at %{x:.4g}: %{y:.4g}<extra></extra>"},
        trace("_median", "median", line={"color": "$first", "width": 2, "dash": "dash"}),
        trace("", "mean", line={"color": "$second", "width": 2})
        | {"mode": "lines+markers", "marker": {"size": 4}},  # seen where there is one bin, too
    ]


def _curve(at: int, name: str, power: int) -> str:
    return f"@curves.{at}.{name}" + f" * curves.{at}.deviation" * power
