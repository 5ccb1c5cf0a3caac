"""Templates of figures that compare groups of rows (see `templates`)."""

from .layouts import Template, layout, named_lines, titled

_BY_GROUP = named_lines("@by_group.positions", "@by_group.labels")


def group_values() -> Template:
    """Return the figure: mean and deviation of the output in each group."""
    values = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean and deviation",
        "x": "@by_group.mean",
        "y": "@by_group.positions",
        "text": "@by_group.labels",
        "customdata": "@by_group.deviation",
        "hovertemplate": ("%{text}: mean %{x:.4g}, deviation %{customdata:.4g}<extra></extra>"),
        "marker": {"color": "$first", "size": 10},
        "error_x": {
            "type": "data",
            "array": "@by_group.deviation",
            "color": "$first",
            "thickness": 1.5,
            "width": 0,
        },
    }
    lines = {**_BY_GROUP, "showgrid": True}
    return {
        "data": [values],
        "layout": layout(titled("value"), lines, height="@by_group.height"),
    }


def group_strengths() -> Template:
    """Return the figure: how strong the strongest inputs are in each group."""
    cells = {
        "type": "heatmap",
        "x": "@by_group.inputs",
        "y": "@by_group.positions",
        "z": "@by_group.strength",
        "zmin": 0,
        "zmax": "@by_group.largest",
        "customdata": "@by_group.labels_of_cells",
        "texttemplate": "%{z:.3g}",
        "textfont": {"color": "$text"},
        "colorscale": "$scale_under_text",
        "showscale": False,
        "hovertemplate": "%{customdata} by %{x}: %{z:.4g}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    return {
        "data": [cells],
        "layout": layout(
            {"type": "category", "showgrid": False, "zeroline": False, "side": "top"},
            _BY_GROUP,
            height="@by_group.height_of_cells",
            margin={"l": 60, "r": 20, "t": 60, "b": 20},
        ),
    }
