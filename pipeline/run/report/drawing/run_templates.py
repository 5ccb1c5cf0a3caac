"""Templates of the figures of all outputs, and of what a run did when (see `templates`)."""

from .layouts import COLOURS, Template, layout, pattern, titled


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
        "colorbar": {**titled(title), "thickness": 14, "nticks": 4},
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
        "layout": layout(
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
                "color": COLOURS[at % 4],
                "pattern": pattern(("", "/", ".", "x")[at // 4 % 4]),
            },
        }

    return {
        "data": [bars(at) for at in range(count)],
        "layout": layout(
            {**titled("seconds since the workers were ready"), "rangemode": "tozero"},
            titled(title),
            barmode="stack",
            showlegend=True,
        ),
    }
