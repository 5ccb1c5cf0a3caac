"""Row groups read from their start on, and readers kept where a group makes several shards."""

import threading
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from .shard import Shard


class GroupReader:
    """Reads consecutive row groups of a file, once, from the first row to the last.

    Nothing in a row group can be jumped over: to get to a row, those before it are read.

    Args:
        parquet: the open file, which is closed with this reader.
        shard: whose row groups are read.
        tables: the rows of these row groups.

    Attributes:
        row: the row of the file that comes next.
    """

    def __init__(self, parquet: pq.ParquetFile, shard: Shard, tables: Iterator[pa.Table]):
        group = shard.first_row_group
        sizes = [parquet.metadata.row_group(group).num_rows]
        self.row = shard.first_row
        if shard.row_groups == 1 and shard.rows < sizes[0]:  # a part of it, or the end of a limit
            sizes = [parquet.metadata.row_group(i).num_rows for i in range(group + 1)]
            self.row = sum(sizes[:-1])
        self._end = self.row + sizes[-1]
        self._parquet, self._shard, self._tables = parquet, shard, tables
        self._rest: pa.Table | None = None

    @property
    def in_the_midst(self) -> bool:
        """Whether the next row is one of a single row group that has been begun."""
        return self._shard.row_groups == 1 and self.row < self._end

    def is_before(self, shard: Shard) -> bool:
        """Return whether a shard's rows are still to come in the row group that is being read."""
        same = shard.file == self._shard.file and shard.row_groups == 1
        same &= shard.first_row_group == self._shard.first_row_group
        return same and self.row <= shard.first_row

    def rows(self, first: int, count: int) -> Iterator[pa.Table]:
        """Yield so many rows of the file from the row `first` on, or those up to the end."""
        last = first + count
        while self.row < last:
            table = self._rest if self._rest is not None else next(self._tables, None)
            self._rest = None
            if table is None:
                return
            skipped = min(max(first - self.row, 0), table.num_rows)
            taken = min(last - self.row, table.num_rows) - skipped
            if skipped + taken < table.num_rows:
                self._rest = table.slice(skipped + taken)
            self.row += skipped + taken
            if taken:
                yield table.slice(skipped, taken)

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()


class KeptReaders:
    """Readers in the midst of a row group, of which another shard may want later rows.

    No more are kept than shards were read at a time: whoever takes none ends one instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: list[GroupReader] = []

    def take(self, shard: Shard) -> GroupReader | None:
        """Return the reader that is nearest to a shard's first row; None if none is before it."""
        with self._lock:
            before = [reader for reader in self._readers if reader.is_before(shard)]
            nearest = max(before, key=lambda reader: reader.row, default=None)
            ended = nearest or max(self._readers, key=lambda reader: reader.row, default=None)
            self._readers = [reader for reader in self._readers if reader is not ended]
        if ended is not nearest and ended is not None:
            ended.close()
        return nearest

    def put(self, reader: GroupReader) -> None:
        """Keep a reader."""
        with self._lock:
            self._readers.append(reader)
