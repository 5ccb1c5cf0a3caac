"""What a report says of quantities that are derived from derivatives: a line for each column."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .groups import group_label
from .records import numbers
from .summary_batch import OF_GROUPS, STATISTICS
from .summary_table import SummaryTable

_MOST_COLUMNS = 100
_MOST_LINES = 400  # of columns in groups
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
        group_head: what is said of each column in each group.
        group_rows: for each column and group that is shown, their names, how many rows, and these
            numbers; the groups of a column stand together.
        groups_left_out: how many groups of each column are not shown; all, where none are.
    """

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]
    left_out: int
    group_head: Sequence[str] = ()
    group_rows: Sequence[tuple[str, str, int, Sequence[float | None]]] = ()
    groups_left_out: int = 0


def derived_table(
    table: SummaryTable, groups: Mapping[str | None, SummaryTable], total: int
) -> DerivedTable:
    """Return what is said of the derived columns that have statistics: texts have none.

    Args:
        table: the statistics of all rows.
        groups: those of groups, by name, of the most rows first.
        total: how many groups there are.
    """
    kept = ~np.isnan(table.derived_numbers[STATISTICS.index("count")])
    places = np.flatnonzero(kept)
    shown = places[:_MOST_COLUMNS]
    head, group_head = (
        [
            title
            for title, statistic in _SHOWN.items()
            if kept or not statistic.startswith("quantile")
        ]
        for kept in (table.has_quantiles, any(each.has_quantiles for each in groups.values()))
    )
    lines = [table.derived_numbers[STATISTICS.index(_SHOWN[title])] for title in head]
    rows = [(table.derived[at], numbers(line[at] for line in lines)) for at in shown]
    most = min(len(groups), max(_MOST_LINES // max(shown.size, 1), 2))
    in_groups = [
        (
            table.derived[at],
            group_label(name),
            int(each.derived_numbers[OF_GROUPS.index("count"), at]),
            numbers(
                each.derived_numbers[STATISTICS.index(_SHOWN[title]), at] for title in group_head
            ),
        )
        for at in shown
        for name, each in list(groups.items())[:most]
        if np.isfinite(each.derived_numbers[OF_GROUPS.index("count"), at])
    ]
    left_out = total - most if shown.size else 0
    return DerivedTable(head, rows, places.size - shown.size, group_head, in_groups, left_out)


NO_DERIVED = DerivedTable([], [], 0)
