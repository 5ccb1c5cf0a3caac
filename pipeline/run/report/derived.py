"""What a report says of quantities that are derived from derivatives: a line for each column."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .records import numbers
from .summary_table import STATISTICS, SummaryTable

_MOST_COLUMNS = 100
_SHOWN = {
    **{name: name for name in ("mean", "deviation", "minimum")},
    **{"5%": "quantile 0.05", "50%": "quantile 0.5", "95%": "quantile 0.95"},
    "maximum": "maximum",
}


class DerivedTable(NamedTuple):
    """Statistics of derived columns over all rows.

    Attributes:
        head: what is said of each column, such as "mean": what the run kept.
        rows: for each column that is shown, its name and these numbers, to six digits.
        left_out: how many columns are not shown.
    """

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]
    left_out: int


def derived_table(table: SummaryTable) -> DerivedTable:
    """Return what is said of the derived columns that have statistics: texts have none."""
    kept = ~np.isnan(table.derived_numbers[STATISTICS.index("count")])
    places = np.flatnonzero(kept)
    shown = places[:_MOST_COLUMNS]
    head = [
        title
        for title, statistic in _SHOWN.items()
        if table.has_quantiles or not statistic.startswith("quantile")
    ]
    lines = [table.derived_numbers[STATISTICS.index(_SHOWN[title])] for title in head]
    rows = [(table.derived[at], numbers(line[at] for line in lines)) for at in shown]
    return DerivedTable(head, rows, places.size - shown.size)
