"""What a page says of groups of rows: of each by itself, and side by side."""

from collections.abc import Mapping, Sequence

import numpy as np

from hyperdiag.statistics.numbers import DERIVED

from .labels import labels_of
from .records import BAR_HEIGHT, HEIGHT, Record, frame, numbers, room, statistics_by_name
from .summary_table import SummaryTable

# What people see as the name of all rows, and of the group of rows whose column is null.
ALL_ROWS, WITHOUT_VALUE = "all rows", "(no value)"
# Of figures that compare groups: how many groups and inputs.
MOST_SIDE_BY_SIDE = 20
_MOST_INPUTS = 6
_LINE = BAR_HEIGHT + 6  # pixels


def group_label(name: str | None) -> str:
    """Return what people see as the name of a group; no two are the same.

    Args:
        name: of the group; None: that of rows without a value.
    """
    if name is None:
        return WITHOUT_VALUE
    # Quotes tell a name from what is no name, and from a name that has such quotes itself.
    if name in (ALL_ROWS, WITHOUT_VALUE, "") or name[0] == name[-1] == '"':
        return f'"{name}"'
    return name


def records_of_groups(
    table: SummaryTable,
    shown: Sequence[Record],
    groups: Sequence[str | None],
    by_quantity: Mapping[str, np.ndarray],
    labels: Sequence[str],
) -> dict[str, list[Record]]:
    """Return what is said of each output that is shown, over the rows of each group.

    Args:
        table: the statistics of all rows.
        shown: what is said over all rows: the same inputs are shown of a group.
        groups: their names; None is the group of rows without a value.
        by_quantity: statistics of these groups and of the pairs of output and input that are
            shown, as `SummaryTable.of_groups` returns them.
        labels: of the inputs, as figures write them.

    Returns:
        {group: records}, by the names that people see.
    """
    first = np.cumsum([0, *(len(record["inputs"]) for record in shown)])
    by_group = {}
    for number, name in enumerate(groups):
        group = group_label(name)
        by_group[group] = [
            frame(table, whole["inputs"], labels) | {"group": group} for whole in shown
        ]
        for quantity, statistics in by_quantity.items():
            if quantity == DERIVED:
                continue
            for output, record in enumerate(by_group[group]):
                if quantity in ("value", "laplacian"):
                    named = statistics_by_name(statistics[number][:, [output]])
                    record[quantity] = {name: each[0] for name, each in named.items()}
                else:
                    mine = slice(first[output], first[output + 1])
                    record[quantity] = statistics_by_name(statistics[number][:, mine])
    return by_group


def add_side_by_side(shown: Sequence[Record], groups: Mapping[str, Sequence[Record]]) -> None:
    """Add to what is said of each output, over all rows, what compares groups, as `by_group`.

    Args:
        shown: what is said over all rows.
        groups: what is said over the rows of each group, those of the most rows first.
    """
    names = [ALL_ROWS, *list(groups)[:MOST_SIDE_BY_SIDE]]
    labels = labels_of(names)
    for output, whole in enumerate(shown):
        records = [whole, *(groups[name][output] for name in names[1:])]
        beside: Record = {
            "labels": labels,
            "positions": list(range(len(names))),
            "height": HEIGHT + _LINE * len(names),
        }
        if "value" in whole:
            for statistic in ("mean", "deviation"):
                beside[statistic] = [record["value"][statistic] for record in records]
        if "jacobian" in whole:
            deviations = np.array(whole["deviation"][:_MOST_INPUTS], float)
            sizes = (record["jacobian"]["root_mean_square"][:_MOST_INPUTS] for record in records)
            strength = [numbers(np.array(each, float) * deviations) for each in sizes]
            beside["inputs"] = whole["labels"][:_MOST_INPUTS]
            beside["height_of_cells"] = beside["height"] + room(beside["inputs"], 0.5)
            beside["strength"] = strength
            beside["largest"] = max((x for row in strength for x in row if x), default=1.0)
            beside["labels_of_cells"] = [[label] * deviations.size for label in labels]
        whole["by_group"] = beside
