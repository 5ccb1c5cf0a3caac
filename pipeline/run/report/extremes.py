"""The most extreme rows of a run, and the columns of the dataset that they have."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import EXTREMES
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.spec import ParquetSpec

from .damaged import missing, read_parquet
from .detail import MOST_IN_GROUP
from .groups import ALL_ROWS, group_label
from .records import Record, numbers

_MOST_POINT = 8  # inputs of a row that are shown
_MOST_COLUMNS = 12  # columns of the dataset that are shown
_MOST_SHARDS = 64  # that are read for these
_MOST_LETTERS = 60
_ROWS_AT_ONCE = 1 << 16
_OF_GROUPS = ("grouped_by", "group_name")
_COLUMNS = (
    *("quantity", "output", "input", "extreme", "rank", "value"),
    *("source_file", "row_index", "point"),
)
_ORDER = ("value", "jacobian", "hessian_diag", "laplacian")

RowPlace = tuple[str, int]  # source file, row index


def add_extremes(
    output: Place,
    plan: Plan,
    shown: Sequence[Record],
    by_group: Mapping[str, Sequence[Record]],
    outputs: Sequence[str],
    most: int,
) -> tuple[list[str], str | None]:
    """Add to what is said of each output its most extreme rows, as `extremes`.

    Args:
        output: the output folder.
        plan: of the run.
        shown: what is said of the first outputs, over all rows.
        by_group: likewise, over the rows of each group.
        outputs: names of all of them.
        most: rows of each list.

    Returns:
        The names of the dataset's columns that are shown of them, and why it is not more, if so.
    """
    place = output / EXTREMES
    if not place.exists():
        return [], missing(EXTREMES) if plan.summary else None
    try:
        table = read_parquet(place, EXTREMES, _COLUMNS)
    except UsageError as error:
        return [], f"{error}."  # all else can be shown without it
    for name in _OF_GROUPS:
        if name not in table.column_names:  # of an earlier release: of all rows
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    all_rows = pc.is_null(table["grouped_by"])
    few = pc.if_else(all_rows, most, min(most, MOST_IN_GROUP))
    table = table.filter(pc.less_equal(table["rank"], few))
    rows = table.drop_columns(["point"]).to_pylist()
    points = table["point"].combine_chunks()
    positions = {name: at for at, name in enumerate(outputs[: len(shown)])}
    inputs = {name: at for at, name in enumerate(plan.network.inputs)}
    records = {ALL_ROWS: shown, **by_group}
    of = [group_label(row["group_name"]) if row["grouped_by"] else ALL_ROWS for row in rows]
    wanted = [at for at, row in enumerate(rows) if row["output"] in positions and of[at] in records]
    places = [(rows[at]["source_file"], rows[at]["row_index"]) for at in wanted]
    passed = [name for name in plan.output.columns if name not in plan.points.columns]
    names = passed[:_MOST_COLUMNS]
    columns, complaint = passed_columns(plan, places, names)
    for at, row_place in zip(wanted, places, strict=True):
        row = rows[at]
        record = records[of[at]][positions[row["output"]]]
        point = points[at].values
        record.setdefault("extremes", []).append(
            {
                "quantity": row["quantity"],
                "extreme": row["extreme"],
                "rank": row["rank"],
                "value": numbers([row["value"]])[0],
                "input": inputs.get(row["input"]) if row["input"] is not None else None,
                "file": row_place[0],
                "row": row_place[1],
                "point": numbers(point[i].as_py() for i in record["inputs"][:_MOST_POINT]),
                "columns": columns.get(row_place, []),
            }
        )
    for record in (record for each in records.values() for record in each):
        record.get("extremes", []).sort(key=_rank)
    left_out = len(passed) - len(names)
    if left_out > 0 and complaint is None:
        complaint = f"{left_out} of the columns that are passed through are not shown."
    return names, complaint


def _rank(extreme: Record) -> tuple[int, str, int]:
    quantity = extreme["quantity"]
    place = _ORDER.index(quantity) if quantity in _ORDER else len(_ORDER)
    return place, extreme["extreme"], extreme["rank"]


def passed_columns(
    plan: Plan, places: Sequence[RowPlace], names: Sequence[str]
) -> tuple[Mapping[RowPlace, list[str]], str | None]:
    """Read columns of single rows of the dataset.

    Args:
        plan: of the run.
        places: of the rows.
        names: of the columns.

    Returns:
        {place: a text for each column}, and why rows are missing, if some are.
    """
    source = plan.source
    if not names or not places or not isinstance(plan.dataset, ParquetSpec):
        return {}, None
    assert isinstance(source, ParquetSource)
    source = replace(source, columns=list(dict.fromkeys([*names, *_filtered_by(source)])))
    wanted = _by_shard(plan, places)
    if not wanted:
        return {}, "The files of the dataset are not those that the rows name."
    columns: dict[RowPlace, list[str]] = {}
    try:
        for shard in list(wanted)[:_MOST_SHARDS]:
            path = source.file_name(shard)
            for index, row in _rows(source, shard, wanted[shard], names):
                columns[path, index] = row
    except HyperdiagError as error:
        return columns, f"The dataset's columns of these rows cannot be read: {error}"
    if len(wanted) > _MOST_SHARDS:
        return columns, (
            f"The dataset's columns are shown of rows in {_MOST_SHARDS} of {len(wanted):,} shards."
        )
    return columns, None


def _filtered_by(source: ParquetSource) -> list[str]:
    """Return the columns that the row filter may read: all, where there is one."""
    return list(source.columns) if source.row_filter else []


def _by_shard(plan: Plan, places: Sequence[RowPlace]) -> dict[Shard, set[int]]:
    """Return which rows, by index, are in which shard, those of the first places first."""
    by_file: dict[str, dict[int, int]] = defaultdict(dict)
    for order, (path, index) in enumerate(places):
        by_file[path].setdefault(index, order)
    by_shard: dict[Shard, dict[int, int]] = {}
    for shard in plan.shards():
        known = by_file.get(plan.source.file_name(shard), {})
        last = shard.first_row + shard.rows
        rows = {index: order for index, order in known.items() if shard.first_row <= index < last}
        if rows:
            by_shard[shard] = rows
    first = sorted(by_shard, key=lambda shard: min(by_shard[shard].values()))
    return {shard: set(by_shard[shard]) for shard in first}


def _rows(
    source: ParquetSource, shard: Shard, wanted: set[int], names: Sequence[str]
) -> list[tuple[int, list[str]]]:
    rows = []
    for batch in source.read(shard, _ROWS_AT_ONCE):
        index = batch.index.to_pylist()
        for at in (at for at, each in enumerate(index) if each in wanted):
            rows.append((index[at], [_text(batch.table[name][at].as_py()) for name in names]))
        if len(rows) == len(wanted):
            break
    return rows


def _text(value: Any) -> str:
    """Return a value of a dataset as a short text."""
    text = "" if value is None else str(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
