"""What the templates of figures share: layouts, colours, and what stands on an axis."""

from typing import Any

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px", "1px,4px")
COLOURS = ("$first", "$second", "$third", "$quiet")
_AXIS = {"gridcolor": "$grid", "zerolinecolor": "$quiet", "linecolor": "$grid", "automargin": True}

Template = dict[str, Any]


def layout(x: Template, y: Template, **more: Any) -> Template:
    """Return a layout of two axes; `more` adds to the common settings, or replaces them."""
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
        "xaxis": axis(**x),
        "yaxis": axis(**y),
        **more,
    }


def axis(**more: Any) -> Template:
    """Return an axis; `more` adds to the common settings, or replaces them."""
    return {**_AXIS, **more}


def titled(text: str) -> Template:
    """Return the title of an axis, or of a scale of colours."""
    return {"title": {"text": text}}


def named_lines(positions: str, labels: str) -> Template:
    """Return an axis that has a line for each of some names, the first at the top."""
    return {
        "tickmode": "array",
        "tickvals": positions,
        "ticktext": labels,
        "autorange": "reversed",
        "showgrid": False,
        "zeroline": False,
    }


BY_INPUT = named_lines("@positions", "@labels")


def pattern(shape: str) -> Template:
    """Return what tells bars apart for whoever does not see their colours."""
    return {"shape": shape, "fgcolor": "$paper", "fillmode": "overlay", "solidity": 0.2}


def scaled(path: str, power: int) -> str:
    """Return what refers to a number by input, times a power of the input's deviation."""
    return f"@{path}" + " * deviation" * power
