"""The input's columns of rows that say where they come from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from hyperdiag.data.design import DesignSource
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.shard import InputFile, Shard, Source
from hyperdiag.data.sink import ERROR_CODE, beside
from hyperdiag.messages.errors import Problems, UsageError, closest_or_all
from hyperdiag.run.plan.plan import Plan

# As rows of an output and of its quarantine have them, and as `run/extremes.parquet` does.
_PLACES = ((SOURCE_FILE, ROW_INDEX), ("source_file", "row_index"))
_BATCH_ROWS = 1 << 16
# Points of a design that are made and dropped rather than begun anew behind them.
_GAP = 1 << 16


def joined(table: pa.Table, plan: Plan, columns: Sequence[str] | None) -> pa.Table:
    """Return rows with columns of the input that they come from.

    Args:
        table: the rows, with `_source_file` and `_row_index`, or `source_file` and `row_index`.
        plan: of the run.
        columns: names of the input's; None: all that the rows do not have.

    Returns:
        The same rows, in the same order; a new column whose name is taken has the ending `_input`.

    Raises:
        UsageError: if the rows do not say where they come from, a column is unknown, or a file or a
            row is none of the run's input.
        InputError: naming the file that cannot be read, or has changed since the run was planned.
    """
    file, row = _places(table, plan)
    names = _wanted(table, plan, columns)
    if not names:
        return table
    if table[file].null_count or table[row].null_count:
        raise UsageError(f"{file} or {row} is null in some rows: join the others alone")
    paths = table[file].combine_chunks().dictionary_encode()
    code, index = paths.indices.to_numpy(), table[row].to_numpy()
    sources = _sources(plan, paths.dictionary.to_pylist())
    parts, order = [], []
    for at, (path, input_file) in enumerate(sources.items()):
        rows = np.flatnonzero(code == at)
        if not rows.size:
            continue
        wanted, inverse = np.unique(index[rows], return_inverse=True)
        read = pa.concat_tables(_read(plan.source, path, input_file, wanted, names))
        parts.append(read.take(pa.array(inverse)))
        order.append(rows)
    back = pa.array(np.argsort(np.concatenate(order))) if order else pa.array([], pa.int64())
    for name, new in zip(names, beside(names, table.column_names), strict=True):
        kind = plan.source.schema.field(name).type
        chunks = [chunk for part in parts for chunk in part[name].chunks]
        column = pa.chunked_array(chunks, kind).unify_dictionaries()
        table = table.append_column(new, column.take(back))
    return table


def _places(table: pa.Table, plan: Plan) -> tuple[str, str]:
    """Return the columns that say where each row comes from."""
    own = ERROR_CODE not in table.column_names and not plan.output.provenance
    for file, row in _PLACES[1:] if own else _PLACES:
        if {file, row} <= set(table.column_names):
            return file, row
    raise UsageError(
        f"the rows have no {SOURCE_FILE} and {ROW_INDEX}, which say where each comes from: "
        + (
            "a run writes them with output.provenance=true, in a new output"
            if own
            else "keep these columns of the output's, too"
        )
    )


def _wanted(table: pa.Table, plan: Plan, columns: Sequence[str] | None) -> list[str]:
    """Return the names of the input's columns that are to be read."""
    known = plan.source.schema.names
    problems = Problems()
    if isinstance(columns, str):
        raise UsageError(f"columns={columns!r} is a name: give a list, [{columns!r}]")
    for name in columns or ():
        if name not in known:
            problems.add(f"the input has no column '{name}'{closest_or_all(name, known)}")
    problems.check()
    passed: Sequence[str] = ()
    if ERROR_CODE in table.column_names:
        passed = known
    elif SOURCE_FILE in table.column_names:
        passed = plan.output.columns
    there_already = set(passed) & set(table.column_names)
    wanted = known if columns is None else dict.fromkeys(columns)
    return [name for name in wanted if name not in there_already]


def _sources(plan: Plan, paths: Sequence[str]) -> dict[str, InputFile | None]:
    """Return the input files of some names; None where the rows were made.

    Raises:
        UsageError: naming those that are none of the run's.
    """
    if isinstance(plan.source, DesignSource):
        known: dict[str, InputFile | None] = {plan.source.file_name(next(plan.shards())): None}
    else:
        wanted = set(paths)
        known = {file.path: file for file in plan.files if file.path in wanted}
    problems = Problems()
    for path in paths:
        if path not in known:
            problems.add(
                f"{path} is no input of this run: an update has removed it since the rows were "
                "read, or they came out of the quarantine of another run, whose output joins them"
            )
    problems.check()
    return {path: known[path] for path in paths}


def _read(
    source: Source,
    path: str,
    file: InputFile | None,
    rows: np.ndarray,
    names: Sequence[str],
) -> Iterator[pa.Table]:
    """Yield columns of some rows.

    Args:
        source: of the run's rows.
        path: of the file, or the name of the design.
        file: None where rows are made.
        rows: their places in it, ascending, each once.
        names: of the columns.
    """
    if isinstance(source, ParquetSource):
        source = replace(source, columns=names, row_filter=None, limit=None)
    last = (
        sum(shard.rows for shard in source.shards()) if file is None else sum(file.row_group_rows)
    )
    outside = rows[(rows < 0) | (rows >= last)]
    if outside.size:
        raise UsageError(f"{path} has no row {outside[0]}: it has {last:,}, from 0")
    for shard in _shards(file, rows):
        for batch in source.read(shard, _BATCH_ROWS):
            first = batch.index[0].as_py()
            low, high = np.searchsorted(rows, [first, first + batch.table.num_rows])
            if low < high:
                yield batch.table.select(list(names)).take(pa.array(rows[low:high] - first))


def _shards(file: InputFile | None, rows: np.ndarray) -> Iterator[Shard]:
    """Yield as few rows as can be read by themselves and have all that are wanted."""
    if file is None:
        for part in np.split(rows, np.flatnonzero(np.diff(rows) > _GAP) + 1):
            first, last = part[[0, -1]].tolist()
            yield Shard(0, None, 0, 0, first, last + 1 - first)
        return
    ends = np.cumsum(file.row_group_rows)
    groups = np.unique(np.searchsorted(ends, rows, side="right"))
    for run in np.split(groups, np.flatnonzero(np.diff(groups) > 1) + 1):
        first, last = run[[0, -1]].tolist()
        start = int(ends[first]) - file.row_group_rows[first]
        yield Shard(
            0,
            file._replace(row_group_rows=()),
            first,
            last + 1 - first,
            start,
            int(ends[last]) - start,
        )
