"""Rows of Parquet files, a batch at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from hyperdiag.messages.errors import InputError

from .arrow_workarounds import cast_views, unsliced
from .column_types import conformed
from .filesystem import Place, resolve
from .group_reader import GroupReader, KeptReaders
from .row_filter import parse_filter
from .shard import InputFile, Rows, Shard

_READ_BUFFER = 1 << 20  # bytes of a column chunk held at a time, so that its size does not matter


@dataclass(frozen=True)
class ParquetSource:
    """Rows of the listed files.

    Attributes:
        path: of the dataset, as configured.
        files: to read, in this order.
        schema: columns of every row, partition keys included.
        partition_keys: which of them come from the path, below `base`.
        base: folder of the dataset.
        columns: the columns to read; the others are left in the file.
        row_filter: rows to keep, as `parse_filter` reads it; None keeps all.
        limit: rows to read, from the start of the dataset and before the filter; None reads all.
        shard_rows: about how many rows make a shard of whole row groups.
        split_rows: a row group of twice as many rows or more is split into parts of as many, a
            shard each; None splits none.
    """

    path: str
    files: Sequence[InputFile]
    schema: pa.Schema
    partition_keys: Sequence[str]
    base: str
    columns: Sequence[str]
    row_filter: str | None
    limit: int | None
    shard_rows: int
    split_rows: int | None = None

    def shards(self) -> Iterator[Shard]:
        """Yield runs of whole row groups that reach `shard_rows`, and parts of large ones."""
        left = self.limit
        number = 0
        for file in self.files:
            number = number if file.first_shard < 0 else file.first_shard
            source = InputFile(file.path, file.size, file.modified_ns, ())
            for first, groups, start, rows in self.runs(file):
                if left is not None:
                    rows = min(rows, left)
                    left -= rows
                    if rows == 0:
                        return
                yield Shard(number, source, first, groups, start, rows)
                number += 1

    def runs(self, file: InputFile) -> Iterator[tuple[int, int, int, int]]:
        """Yield first row group, row groups, first row and rows of each shard of a file."""
        first = start = rows = 0
        large = 2 * self.split_rows if self.split_rows else None
        for group, more in enumerate(file.row_group_rows):
            if large and more >= large:
                if rows:
                    yield first, group - first, start, rows
                start, end = start + rows, start + rows + more
                for row in range(start, end, self.split_rows or more):
                    yield group, 1, row, min(self.split_rows or more, end - row)
                first, start, rows = group + 1, end, 0
                continue
            rows += more
            if rows >= self.shard_rows:
                yield first, group + 1 - first, start, rows
                first, start, rows = group + 1, start + rows, 0
        if rows:
            yield first, len(file.row_group_rows) - first, start, rows

    def file_name(self, shard: Shard) -> str:
        """Return the path of the file that a shard's rows come from."""
        assert shard.file is not None
        return shard.file.path

    @cached_property
    def _keep(self) -> pc.Expression | None:
        return None if self.row_filter is None else parse_filter(self.row_filter, self.schema)

    def warm_up(self) -> None:
        """Nothing: what reading takes is loaded."""

    def read(self, shard: Shard, batch_rows: int) -> Iterator[Rows]:
        """Yield a shard's rows, `batch_rows` at a time, reading no more ahead than that.

        Raises:
            InputError: if the file cannot be read, or is not the one that was planned.
        """
        place = resolve(self.path)
        file = shard.file
        assert file is not None
        _check_unchanged(place.filesystem, file)
        with _reading(file.path):
            reader = self._kept.take(shard) or self._open(place, file.path, shard, batch_rows)
            kept = False
            try:
                tables = reader.rows(shard.first_row, shard.rows)
                partition = self.partition_values(file.path)
                yield from _regroup(self._selected(tables, shard, partition), batch_rows)
                kept = reader.in_the_midst
            finally:
                if kept:
                    self._kept.put(reader)
                else:
                    reader.close()
        # Again: what was written over while it was read is neither the old nor the new.
        _check_unchanged(place.filesystem, file)

    @cached_property
    def _kept(self) -> KeptReaders:
        return KeptReaders()

    def _open(self, place: Place, path: str, shard: Shard, batch_rows: int) -> GroupReader:
        """Open a file at the start of a shard's first row group."""
        parquet = pq.ParquetFile(
            path,
            filesystem=place.filesystem,
            buffer_size=_READ_BUFFER,
            pre_buffer=False,
            page_checksum_verification=True,  # of pages that have one; 5 GB/s
        )
        own = pa.schema([f for f in self.schema if f.name in self._stored])
        present = set(parquet.schema_arrow.names)
        stored = [name for name in own.names if name in present]
        groups = range(shard.first_row_group, shard.first_row_group + shard.row_groups)
        # One by one: a page with more values than its row group has rows would shift the next.
        batches = (
            batch
            for group in groups
            for batch in parquet.iter_batches(
                batch_rows, row_groups=[group], columns=stored, use_threads=False
            )
        )
        whole = (pa.Table.from_batches([batch]) for batch in batches)
        # As a rule a file's columns are those of the dataset; one comparison tells so.
        tables = (t if t.schema.equals(own) else conformed(cast_views(t), own) for t in whole)
        return GroupReader(parquet, shard, tables)

    @cached_property
    def _stored(self) -> set[str]:
        return {name for name in self.columns if name not in self.partition_keys}

    def partition_values(self, path: str) -> dict[str, Any]:
        """Return the values of the partition keys in a file's path, by name."""
        if not self.partition_keys:
            return {}
        keys = pa.schema([self.schema.field(name) for name in self.partition_keys])
        parts = ds.HivePartitioning(keys).parse(path.removeprefix(self.base))
        return ds.get_partition_keys(parts)

    def _selected(
        self, tables: Iterator[pa.Table], shard: Shard, partition: dict[str, Any]
    ) -> Iterator[Rows]:
        seen = 0
        for table in tables:
            table = table.slice(0, shard.rows - seen)  # `limit` may end inside a row group
            first = shard.first_row + seen
            index = pa.array(np.arange(first, first + table.num_rows))
            for name in self.columns:
                if name in self.partition_keys:
                    kind = self.schema.field(name).type
                    value = pa.scalar(partition.get(name), kind)
                    table = table.append_column(name, pa.repeat(value, table.num_rows))
            seen += table.num_rows
            kept = unsliced(table.select(list(self.columns)))
            if self._keep is None:
                yield Rows(kept, index, 0)
            else:
                kept = kept.append_column(_INDEX, index).filter(self._keep)
                filtered = table.num_rows - kept.num_rows
                yield Rows(kept.drop_columns(_INDEX), kept[_INDEX].combine_chunks(), filtered)
            if seen == shard.rows:
                return
        # A page that lost some of its rows need not be an error to the reader.
        raise OSError(f"it ends after {seen} of {shard.rows} rows from row {shard.first_row} on")


def _check_unchanged(filesystem: fs.FileSystem, file: InputFile) -> None:
    with _reading(file.path):
        info = filesystem.get_file_info(file.path)
    if (info.size, info.mtime_ns or 0) != (file.size, file.modified_ns):
        change = "is gone" if info.type == fs.FileType.NotFound else "has changed"
        raise InputError(f"{file.path} {change} since the run was planned")


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}; mend or remove the file") from error


_MOST_FILTERED = 1 << 17  # rows left out before that is told
_INDEX = "\0row index"  # no Parquet column of a user's has this name


def _regroup(parts: Iterator[Rows], batch_rows: int) -> Iterator[Rows]:
    """Yield the same rows in groups of exactly `batch_rows`, the last one perhaps fewer.

    Parquet readers end a batch where a row group ends, and filters thin batches out; a kernel
    runs best on full ones. Where a filter leaves nothing out of very many rows, groups of none
    tell that there is progress.
    """
    held: list[Rows] = []  # none of them empty
    rows = filtered = 0
    for part in parts:
        filtered += part.filtered
        if part.table.num_rows:
            held.append(part)
            rows += part.table.num_rows
        while rows >= batch_rows:
            whole = _joined(held)
            yield Rows(whole.table.slice(0, batch_rows), whole.index[:batch_rows], filtered)
            rows, filtered = rows - batch_rows, 0
            rest = Rows(unsliced(whole.table.slice(batch_rows)), whole.index[batch_rows:], 0)
            held = [rest] if rows else []
        if filtered >= _MOST_FILTERED:
            yield Rows(part.table[:0], part.index[:0], filtered)
            filtered = 0
    if rows:
        whole = _joined(held)
        yield Rows(whole.table, whole.index, filtered)
    elif filtered:
        yield Rows(part.table[:0], part.index[:0], filtered)


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    index = pa.concat_arrays([part.index for part in parts])
    table = pa.concat_tables([part.table for part in parts])
    return Rows(table, index, 0)
