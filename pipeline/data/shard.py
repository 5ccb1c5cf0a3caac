"""The unit of work: a run of consecutive rows of one source, and one output file."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

from .output_folder import file_name


class InputFile(NamedTuple):
    """One file as it stood when the run was planned.

    Attributes:
        path: on the dataset's filesystem.
        size: bytes.
        modified_ns: modification time, nanoseconds since 1970 (0 where the store has none).
        row_group_rows: rows of each of its row groups.
        first_shard: the id of the first of its shards; -1 goes on from the file before.
    """

    path: str
    size: int
    modified_ns: int
    row_group_rows: tuple[int, ...]
    first_shard: int = -1


class Shard(NamedTuple):
    """Which rows; its id names its output file.

    Attributes:
        id: 0, 1, 2, ... in the order of the dataset, as long as no file came or went.
        file: which its rows come from, without its row groups; None where rows are made.
        first_row_group: the first of its row groups in that file.
        row_groups: how many there are (0 where rows are made); of one, it may be a part.
        first_row: index of its first row in the file (in the dataset, where rows are made).
        rows: how many rows, before any filter.
    """

    id: int
    file: InputFile | None
    first_row_group: int
    row_groups: int
    first_row: int
    rows: int

    @property
    def file_name(self) -> str:
        """The name of its data file, and of its quarantine file."""
        return file_name(self.id)


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

    def warm_up(self) -> None:
        """Load the libraries that reading takes, so that no shard is charged with it."""

    def read(self, shard: Shard, batch_rows: int) -> Iterator[Rows]:
        """Yield a shard's rows, `batch_rows` at a time, the last ones perhaps fewer."""

    def file_name(self, shard: Shard) -> str:
        """Return the name of the file that a shard's rows come from."""
