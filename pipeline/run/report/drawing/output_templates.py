"""Templates of the figures that are drawn of each output (see `templates`)."""

from .layouts import BY_INPUT, Template, layout, pattern, scaled, titled

# Of a normal distribution, 95% lie within so many deviations of the mean. A line so long says no
# more than that: how often it holds the true number depends on the rows (see `standard_error`).
_INTERVAL = 1.96


def sensitivity() -> Template:
    """Return the figure: how strong each input is, and how surely; the mean of its effect."""
    interval = f"jacobian.root_mean_square_error * {_INTERVAL}"
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "root mean square",
        "x": scaled("jacobian.root_mean_square", 1),
        "y": "@positions",
        "text": "@labels",
        "textposition": "none",
        "hovertemplate": "%{text}: root mean square %{x:.4g}<extra></extra>",
        "marker": {"color": "$first"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": f"?{interval} * deviation",
            # A root is not negative.
            "arrayminus": f"?{interval} min jacobian.root_mean_square * deviation",
            "color": "$text",
            "thickness": 1.5,
            "width": 6,
        },
    }
    mean = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean",
        "x": scaled("jacobian.mean", 1),
        "y": "@positions",
        "text": "@labels",
        "hovertemplate": "%{text}: mean %{x:.4g}<extra></extra>",
        "marker": {"color": "$second", "symbol": "diamond", "size": 9},
        "error_x": {
            "type": "data",
            "array": f"?jacobian.mean_error * {_INTERVAL} * deviation",
            "color": "$second",
            "thickness": 1.5,
            "width": 6,
        },
    }
    return {"data": [bars, mean], "layout": layout(titled("J s"), BY_INPUT, height="@height")}


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
    share = {**titled("share of rows"), "tickformat": ".0%", "range": [-0.03, 1.03]}
    return {"data": [line], "layout": layout(titled("value"), share)}


def spread(quantity: str, power: int, colour: str, title: str) -> Template:
    """Return the figure: boxes of a derivative over the rows, by input.

    Args:
        quantity: whose quantiles a record has.
        power: of the input's deviation that it is multiplied by.
        colour: of the boxes, in the palette.
        title: of the axis.
    """
    ends = {
        "lowerfence": "q05",
        "q1": "q25",
        "median": "q50",
        "q3": "q75",
        "upperfence": "q95",
    }
    box = {
        "type": "box",
        "complete": ["y", *ends],
        "orientation": "h",
        "name": title,
        "y": "@positions",
        **{end: scaled(f"{quantity}.{quantile}", power) for end, quantile in ends.items()},
        "line": {"color": f"${colour}", "width": 2},
        "fillcolor": "$paper",
    }
    return {"data": [box], "layout": layout(titled(title), BY_INPUT, height="@height")}


def second_order() -> Template:
    """Return the figure: sizes of first and second order by input, which may differ by decades."""

    def sizes(quantity: str, power: int, name: str, colour: str, symbol: str) -> Template:
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            # A logarithm has no place for zero.
            "x": scaled(f"{quantity}.root_mean_square", power) + " above 0",
            "y": "@positions",
            "text": "@labels",
            "hovertemplate": f"%{{text}}: {name} %{{x:.4g}}<extra></extra>",
            "marker": {"color": colour, "symbol": symbol, "size": 11},
        }

    # Few ticks, each with its whole number: else those between powers of ten have a digit alone.
    x = {**titled("root mean square"), "type": "log", "nticks": 4, "tickformat": "~g"}
    return {
        "data": [
            sizes("jacobian", 1, "J s", "$first", "circle"),
            sizes("hessian_diag", 2, "D s²", "$second", "diamond"),
        ],
        "layout": layout(x, {**BY_INPUT, "showgrid": True}, height="@height"),
    }


def convexity() -> Template:
    """Return the figure: shares of rows that are convex, concave and neither, by input."""

    def bars(share: str, name: str, colour: str, shape: str) -> Template:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": share,
            "y": "@positions",
            "text": "@labels",
            "textposition": "none",
            "hovertemplate": f"%{{text}}: {name} on %{{x:.1%}} of rows<extra></extra>",
            "marker": {"color": colour, "pattern": pattern(shape)},
        }

    zero = "@1 - hessian_diag.positive - hessian_diag.negative"
    share = {**titled("share of rows"), "tickformat": ".0%", "range": [0, 1]}
    return {
        "data": [
            bars("@hessian_diag.positive", "convex", "$first", ""),
            bars("@hessian_diag.negative", "concave", "$second", "/"),
            bars(zero, "zero", "$quiet", "."),
        ],
        "layout": layout(share, BY_INPUT, height="@height", barmode="stack"),
    }
