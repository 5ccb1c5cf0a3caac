"""The unit of work: a run of consecutive rows of one source, and one output file."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa


class Shard(NamedTuple):
    """Which rows; its id names its output file.

    Attributes:
        id: 0, 1, 2, ... in the order of the dataset.
        file: index of the input file; -1 where rows are made, not read.
        first_row_group: the first of its whole row groups in that file.
        row_groups: how many there are (0 where rows are made).
        first_row: index of its first row in the file (in the dataset, where rows are made).
        rows: how many rows, before any filter.
    """

    id: int
    file: int
    first_row_group: int
    row_groups: int
    first_row: int
    rows: int

    @property
    def file_name(self) -> str:
        """The name of its data file, and of its quarantine file."""
        return f"part-{self.id:07d}.parquet"


class Rows(NamedTuple):
    """Consecutive rows of a shard.

    Attributes:
        table: their columns.
        index: int64 (rows,), the index of each row in its source file.
        filtered: rows that the row filter left out since the last `Rows`.
    """

    table: pa.Table
    index: pa.Array
    filtered: int


class Source(Protocol):
    """Where rows come from."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of every row."""

    def shards(self) -> Iterator[Shard]:
        """Yield the shards of the dataset, in order."""

    def read(self, shard: Shard, batch_rows: int) -> Iterator[Rows]:
        """Yield a shard's rows, `batch_rows` at a time, the last ones perhaps fewer."""

    def file_name(self, shard: Shard) -> str:
        """Return the name of the file that a shard's rows come from."""
