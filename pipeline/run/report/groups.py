"""What a page says of groups of rows: of each by itself, and side by side."""

from collections.abc import Mapping, Sequence

from .detail import strengths
from .labels import labels_of
from .records import BAR_HEIGHT, HEIGHT, Record, numbers, room
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


def add_side_by_side(
    shown: Sequence[Record],
    groups: Mapping[str, Sequence[Record]],
    tables: Sequence[SummaryTable],
) -> None:
    """Add to what is said of each output, over all rows, what compares groups, as `by_group`.

    And to each record `beside`, how strong those inputs are that are the strongest over all rows.

    Args:
        shown: what is said over all rows.
        groups: what is said over the rows of each group, those of the most rows first.
        tables: the statistics of all rows, and of each group.
    """
    names = [ALL_ROWS, *list(groups)[:MOST_SIDE_BY_SIDE]]
    labels = labels_of(names)
    strength_of = [strengths(table, tables[0]) for table in tables]
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
            places = whole["inputs"][:_MOST_INPUTS]
            of_groups = [whole, *(each[output] for each in groups.values())]
            for strength, record in zip(strength_of, of_groups, strict=True):
                record["beside"] = numbers(strength[output, places])
            cells = [record["beside"] for record in records]
            beside["inputs"] = whole["labels"][:_MOST_INPUTS]
            beside["height_of_cells"] = beside["height"] + room(beside["inputs"], 0.5)
            beside["strength"] = cells
            beside["largest"] = max((x for row in cells for x in row if x), default=1.0)
            beside["labels_of_cells"] = [[label] * len(places) for label in labels]
        whole["by_group"] = beside
