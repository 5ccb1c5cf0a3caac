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


def bands(quantity: str, power: int, what: str, count: int, shared: bool) -> Template:
    """Return the figure: a panel for each of the strongest inputs, with mean, median and a band.

    Args:
        quantity: whose means and quantiles a record has.
        power: of the input's deviation that it is multiplied by.
        what: the title of the vertical axes.
        count: how many panels.
        shared: whether all vertical axes have the same range.
    """
    rows, columns = ceil(count / 2), min(count, 2)
    step = _PANEL_HEIGHT + _PANEL_GAP
    inside = rows * step - _PANEL_GAP  # without margins
    width = 0.46 if shared else 0.43  # labels of an axis stand between two panels
    axes: Template = {}
    for at in range(count):
        number = str(at + 1) if at else ""
        others = shared and at > 0
        top, left = 1 - step * (at // 2) / inside, (at % 2) * (1 - width)
        axes[f"xaxis{number}"] = axis(
            title={"text": f"@curves.{at}.label", "standoff": 4},
            anchor=f"y{number}",
            domain=[left, left + width] if columns == 2 else [0, 1],
            nticks=6,
            zeroline=False,
        )
        axes[f"yaxis{number}"] = axis(
            anchor=f"x{number}",
            domain=[max(top - _PANEL_HEIGHT / inside, 0.0), top],
            nticks=6,
            **({"matches": "y", "showticklabels": columns == 1 or at % 2 == 0} if others else {}),
            **(titled(what) if at % 2 == 0 else {}),
        )
    return {
        "data": [trace for at in range(count) for trace in _panel(at, quantity, power)],
        "layout": {
            **layout({}, {}, height=rows * step + _LEGEND_HEIGHT, showlegend=True, bargap=0),
            **axes,
            "margin": {"l": 60, "r": 20, "t": _LEGEND_HEIGHT, "b": _PANEL_GAP},
        },
    }


def _panel(at: int, quantity: str, power: int) -> list[Template]:
    number = str(at + 1) if at else ""

    shared = {
        "x": f"@curves.{at}.at",
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "showlegend": at == 0,
    }
    low, high = (_curve(at, f"{quantity}{ending}", power) for ending in ("_p10", "_p90"))
    # Bars, and no area between lines: not every bin has so many rows that quantiles are kept.
    band = {
        **shared,
        "type": "bar",
        "complete": ["x", "base", "y", "customdata"],
        "width": f"?curves.{at}.width",
        "name": "10% to 90% of rows",
        "legendgroup": "band",
        "base": low,
        "y": _difference(at, quantity, power),
        "customdata": high,
        "hovertemplate": "at %{x:.4g}: 10% at %{base:.4g}, 90% at %{customdata:.4g}<extra></extra>",
        "marker": {"color": "$band", "line": {"width": 0}},
    }

    def line(ending: str, name: str, colour: str, dash: str) -> Template:
        return {
            **shared,
            "type": "scatter",
            "mode": "lines+markers",  # what has no neighbour is seen, too
            "name": name,
            "legendgroup": name,
            "y": _curve(at, f"{quantity}{ending}", power),
            "hovertemplate": f"{name} at %{{x:.4g}}: %{{y:.4g}}<extra></extra>",
            "line": {"color": colour, "width": 2, "dash": dash},
            "marker": {"size": 4},
        }

    return [
        band,
        line("_median", "median", "$first", "dash"),
        line("", "mean", "$second", "solid"),
    ]


def _difference(at: int, quantity: str, power: int) -> str:
    curve = f"curves.{at}"
    scale = f" * {curve}.deviation" * power
    return f"@{curve}.{quantity}_p90 - {curve}.{quantity}_p10{scale}"


def _curve(at: int, name: str, power: int) -> str:
    return f"@curves.{at}.{name}" + f" * curves.{at}.deviation" * power
