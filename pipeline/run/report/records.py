"""What a page says of one output: numbers to six digits, in lists that are aligned by input."""

from collections.abc import Iterable, Sequence
from html import unescape
from typing import Any

import numpy as np

from hyperdiag.statistics.table import LEVELS as QUANTILES

from . import standard_error
from .detail import Detail, strongest
from .quantiles import WHY_COARSE
from .summary_batch import OF_GROUPS, STATISTICS
from .summary_table import ENDINGS, Curves, Pair, SummaryTable

Record = dict[str, Any]

# The shares of rows below the numbers of `points`.
LEVELS = (0.0, *QUANTILES, 1.0)
_DIGITS = 6
# Of figures with a bar, or a row of cells, for each input or output: pixels.
HEIGHT, BAR_HEIGHT, _LETTER_WIDTH = 120, 22, 7.5


def numbers(values: Iterable[float]) -> list[float | None]:
    """Return numbers to six digits, as JSON has them: what is not finite is null."""
    return [float(f"{x:.{_DIGITS}g}") if np.isfinite(x) else None for x in values]


def records(
    table: SummaryTable,
    curves: Curves,
    shown: Sequence[Sequence[Pair]],
    labels: Sequence[str],
    with_curves: int,
    whole: SummaryTable,
    rows: int,
) -> list[Record]:
    """Return what is said of each output that is shown.

    Args:
        table: the statistics of some rows.
        curves: of these rows, of the first pairs that are shown of each output.
        shown: for each output that is shown, its pairs with the inputs that are.
        labels: of the inputs, as figures write them.
        with_curves: for how many of these there are dependence curves.
        whole: the statistics of all rows: deviations of inputs are those over all rows, so that
            groups compare.
        rows: how many rows these are.
    """
    return [
        _record(table, whole, output, [at for _, at in pairs], labels, curves, with_curves)
        | {"rows": rows}
        for output, pairs in enumerate(shown)
    ]


def _record(
    table: SummaryTable,
    whole: SummaryTable,
    output: int,
    places: Sequence[int],
    labels: Sequence[str],
    curves: Curves,
    with_curves: int,
) -> Record:
    record = _frame(whole, places, labels) | {"absent": _absent(table, output, places)}
    for quantity in ("value", "laplacian"):
        if quantity in table.numbers:
            column = table.numbers[quantity][:, output, 0]
            named = dict(zip(STATISTICS, column, strict=True))
            quantiles = column[-len(QUANTILES) :]
            record[quantity] = {
                name: each[0] for name, each in statistics_by_name(column[:8, None]).items()
            }
            if table.has_quantiles and not table.coarse[quantity][output, 0]:
                ends = [named["minimum"], *quantiles, named["maximum"]]
                record[quantity]["points"] = numbers(ends)
    for quantity in ("jacobian", "hessian_diag"):
        if quantity in table.numbers:
            columns = table.numbers[quantity][:, output, places]
            quantiles = columns[-len(QUANTILES) :]
            record[quantity] = statistics_by_name(columns[:8])
            if table.has_quantiles:
                record[quantity] |= {
                    f"q{round(100 * at):02d}": numbers(row)
                    for at, row in zip(QUANTILES, quantiles, strict=True)
                }
    for kind in ("uniform", "normal"):
        bound = table.of("jacobian", f"total_index_bound_{kind}")
        if bound is not None and np.isfinite(bound[output, places]).any():
            record[f"total_index_bound_{kind}"] = numbers(bound[output, places])
    shown = places[:with_curves] if table.has_curves or table is whole else []
    record["curves"] = [_curve(whole, output, place, labels[place], curves) for place in shown]
    return record


def _absent(table: SummaryTable, output: int, places: Sequence[int]) -> dict[str, str]:
    """Return, for figures of this output that would mislead, a sentence that says so, by name."""
    drawn = {"value": "distribution", "jacobian": "spread", "hessian_diag": "second_spread"}
    return {
        figure: WHY_COARSE
        for quantity, figure in drawn.items()
        if quantity in table.coarse
        and table.coarse[quantity][output, [0] if quantity == "value" else places].all()
    }


def _frame(table: SummaryTable, places: Sequence[int], labels: Sequence[str]) -> Record:
    """Return what every record has: the inputs, with their deviations over all rows."""
    deviation = table.of("input", "deviation")
    scale = np.ones(len(places)) if deviation is None else deviation[0, list(places)]
    return {
        "inputs": list(places),
        "labels": [labels[place] for place in places],
        "positions": list(range(len(places))),
        "deviation": numbers(scale),
        "height": HEIGHT + BAR_HEIGHT * len(places),
    }


def statistics_by_name(columns: np.ndarray) -> dict[str, list[Any]]:
    """Return eight statistics (8, k) by name, in the order of OF_GROUPS, and standard errors."""
    of = dict(zip(OF_GROUPS, columns, strict=True))
    named: dict[str, list[Any]] = {}
    for name, row in of.items():
        if name == "count":
            named[name] = [int(x) if np.isfinite(x) else None for x in row]
        elif name == "mean_square":
            named["root_mean_square"] = numbers(np.sqrt(row))
        else:
            named[name] = numbers(row)
    named["mean_error"] = numbers(standard_error.of_mean(of["count"], of["deviation"]))
    ends = of["minimum"], of["maximum"]
    errors = standard_error.most_of_root_mean_square(of["count"], of["mean_square"], *ends)
    named["root_mean_square_error"] = numbers(errors)
    return named


def _curve(whole: SummaryTable, output: int, place: int, label: str, curves: Curves) -> Record:
    """Return the dependence curves on one input, on the bins that have rows."""
    mean, deviation = (whole.of("input", name) for name in ("mean", "deviation"))
    by_name = {"rows": curves.get(("input", 0, place))}
    for quantity in ("value", "jacobian", "hessian_diag"):
        for name in (f"{quantity}{ending}" for ending in ENDINGS):
            by_name[name] = curves.get((name, output, place))
    at = sorted({x for curve in by_name.values() if curve for x in curve.at.tolist()})
    record = {
        "input": place,
        "label": label,
        "mean": 0.0 if mean is None else numbers(mean[0, [place]])[0],
        "deviation": 1.0 if deviation is None else numbers(deviation[0, [place]])[0],
        "at": numbers(at),
    }
    if record["deviation"] == 0 and len(at) == 1:
        record["at"] = [record["mean"]]  # the range around a single number is made up
    if len(at) > 1:
        record["width"] = numbers([np.diff(at).min()])[0]  # bins are equally wide
    for name, curve in by_name.items():
        if curve is not None:
            known = dict(zip(curve.at.tolist(), curve.numbers.tolist(), strict=True))
            record[name] = numbers(known.get(x, np.nan) for x in at)
    return record


def heat_maps(
    table: SummaryTable,
    strength: np.ndarray,
    outputs: Sequence[str],
    inputs: Sequence[str],
    detail: Detail,
) -> Record:
    """Return the maps of J and D, root mean squares in units of the deviations of input and output.

    Args:
        table: the statistics of all rows.
        strength: (m, n), how strong each input is for each output.
        outputs, inputs: labels of the m outputs and n inputs, as figures write them.
        detail: how much is shown.
    """
    rows = list(range(min(detail.map_outputs, len(outputs))))
    spread = table.of("value", "deviation")
    unit = np.ones(len(outputs)) if spread is None else np.where(spread > 0, spread, np.nan)[:, 0]
    relative = np.nan_to_num(strength / unit[:, None])[rows]
    places = strongest(relative.max(axis=0, initial=-1.0), detail.map_inputs)
    deviation = table.of("input", "deviation")
    scale = np.ones(len(inputs)) if deviation is None else deviation[0]
    names = [inputs[place] for place in places]
    below = room(names, 0.75)
    maps: Record = {
        "outputs": [outputs[row] for row in rows],
        "inputs": names,
        "input_places": places,
        # Beside fewer rows a scale of colours has no room.
        "height": 60 + BAR_HEIGHT * max(len(rows), 4) + below,
        # Names below stand aslant: the first reaches as far to the left as down.
        "left": max(room([outputs[row] for row in rows], 1.0), room(names[:1], 0.75)),
        "below": below,
    }
    for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
        mean_square = table.of(quantity, "mean_square")
        if mean_square is not None:
            standardised = np.sqrt(mean_square) * scale**power / unit[:, None]
            cells = [numbers(standardised[row, places]) for row in rows]
            maps[quantity] = cells
            maps[f"{quantity}_largest"] = max((x for row in cells for x in row if x), default=1.0)
    return maps


def room(labels: Sequence[str], share: float) -> int:
    """Return the pixels that labels need, if they reach over a share of their length."""
    letters = max((len(unescape(label)) for label in labels), default=0)
    return round(20 + share * _LETTER_WIDTH * letters)
