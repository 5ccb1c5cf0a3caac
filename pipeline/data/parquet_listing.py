"""What stands at a dataset's path: its files, their row groups, their columns, the bad ones."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.masking import masked

from .arrow_workarounds import without_views
from .dataset_columns import EVERY_COLUMN, Columns, FileKind, UsedColumns
from .dataset_files import find_files
from .filesystem import Place
from .object_store.tries import is_passing
from .partition_keys import partition_schema
from .shard import InputFile
from .threads import each

_END_BYTES = 1 << 16  # of a file, read at first: most footers are shorter
_SIGNATURE_BYTES = 28  # behind a footer that can be read, in a file with encrypted columns


class BadFile(NamedTuple):
    """A file that cannot be used, and why."""

    path: str
    reason: str


class Listing(NamedTuple):
    """What was found at a dataset's path.

    Attributes:
        files: the usable files, in the order of their paths.
        bad_files: the others.
        schema: the columns of every row: those of the files, then the Hive partition keys.
        partition_keys: names of the Hive partition keys.
        base: the folder below which a path's parts are partition keys.
    """

    files: tuple[InputFile, ...]
    bad_files: tuple[BadFile, ...]
    schema: pa.Schema
    partition_keys: tuple[str, ...]
    base: str


def list_parquet(
    path: str, used: UsedColumns = EVERY_COLUMN, before: pa.Schema | None = None
) -> Listing:
    """List a dataset and read its footers, many at a time.

    Every file must have those of the used columns that most files have, in any order, in types that
    fit together; the others are bad files. Names that begin with `_` or `.` are not data, but for
    keys (`_day=1`).

    Args:
        path: a file, a folder (read recursively), or a glob; a local path or a URI.
        used: the columns that are asked for.
        before: the columns of an earlier run, kept as long as they hold what is there now.

    Raises:
        UsageError: if there is nothing there, or nothing that can be read, or no answer.
    """
    place, infos = find_files(path)
    files: list[InputFile] = []
    kinds: list[FileKind] = []  # of each file
    bad: list[BadFile] = []
    distinct: dict[tuple[bytes, tuple[str, ...]], FileKind] = {}
    last: _Footer | None = None
    for file, footer in _footers(place, infos):
        if isinstance(footer, str):
            bad.append(BadFile(file, footer))
            continue
        files.append(footer.file)
        # Most files are as the one before them, which is soon seen.
        if last is None or not footer.has_columns_of(last):
            last = footer
            schema = footer.schema.remove_metadata()
            kind = distinct.setdefault(
                (schema.serialize().to_pybytes(), footer.encrypted),
                FileKind(schema, footer.encrypted, file),
            )
        kind.files += 1
        kinds.append(kind)
    columns = Columns(distinct.values(), used, before)
    bad += [BadFile(f.path, k.wrong) for f, k in zip(files, kinds, strict=True) if k.wrong]
    files = [file for file, kind in zip(files, kinds, strict=True) if not kind.wrong]
    if columns.usual is None:
        reasons = "; ".join(f"{file.path}: {file.reason}" for file in bad[:5])
        raise UsageError(f"dataset.path {masked(path)}: no file can be read: {reasons}")
    own = columns.usual.schema.names
    keys = partition_schema(place, [file.path for file in files], own, before)
    schema = columns.schema(keys)
    return Listing(tuple(files), tuple(sorted(bad)), schema, tuple(keys.names), place.path)


class _Footer(NamedTuple):
    """What a file says of itself.

    Attributes:
        file: the file and its row groups.
        schema: its columns.
        encrypted: names of columns that are not in the schema: there is no key for them.
    """

    file: InputFile
    schema: pa.Schema
    encrypted: tuple[str, ...]

    def has_columns_of(self, other: "_Footer") -> bool:
        """Return whether both have the same columns, with the same metadata."""
        same = self.schema.equals(other.schema, check_metadata=True)
        return same and self.encrypted == other.encrypted


def _footers(place: Place, infos: list[fs.FileInfo]) -> Iterator[tuple[str, _Footer | str]]:
    """Yield each path with what its footer says, or why that cannot be read; `infos` is used up."""
    infos.reverse()
    taken = (infos.pop() for _ in range(len(infos)))
    yield from each(lambda info: (info.path, _footer(place.filesystem, info)), taken)


def _footer(filesystem: fs.FileSystem, info: fs.FileInfo) -> _Footer | str:
    if info.type != fs.FileType.File:  # to open a pipe would wait for somebody to write
        return "is no regular file"
    try:
        with filesystem.open_input_file(info.path) as source:
            footer, length = _last_bytes(source)
            with pq.ParquetFile(footer) as parquet:
                metadata, schema = parquet.metadata, without_views(parquet.schema_arrow)
            wrong = _contradiction(metadata) or _named_twice(schema.names)
            if wrong:
                return wrong
            rows = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
            # Fails here for names that are no UTF-8.
            names = [name for name in schema.names if str(schema.field(name))]
            encrypted: tuple[str, ...] = ()
            if length - metadata.serialized_size == _SIGNATURE_BYTES:
                encrypted = tuple(_encrypted(source, names, rows))
                schema = pa.schema([field for field in schema if field.name not in encrypted])
            file = InputFile(info.path, info.size, info.mtime_ns or 0, rows)
            return _Footer(file, schema, encrypted)
    except (pa.ArrowException, OSError, ValueError) as error:  # names that are no UTF-8, too
        if is_passing(error):  # no fault of the file's, which must not be left out for it
            raise UsageError(f"dataset.path: cannot read {info.path}: {error}") from error
        return next(iter(str(error).splitlines()), type(error).__name__)


def _last_bytes(source: pa.NativeFile) -> tuple[pa.NativeFile, int]:
    """Return the end of a file with its footer, in one request as a rule; and the footer's length.

    Of a file that is damaged, the file itself: the reader says in which way.
    """
    size = source.size()
    end = source.read_at(min(size, _END_BYTES), max(size - _END_BYTES, 0))
    length = int.from_bytes(end[-8:-4], "little")
    if len(end) < length + 8 <= size:
        end = source.read_at(length + 8, size - length - 8)
    return (pa.BufferReader(end) if length + 8 <= len(end) else source), length


def _encrypted(source: pa.NativeFile, names: list[str], rows: tuple[int, ...]) -> Iterator[str]:
    """Yield the columns of a file with a signed footer that cannot be read.

    The footer's own word on a column would end the process where that is encrypted (pyarrow
    26.0.1).
    """
    first = next((group for group, count in enumerate(rows) if count), None)
    if first is None:
        return
    with pq.ParquetFile(source, pre_buffer=False, buffer_size=_END_BYTES) as parquet:
        for name in names:
            try:
                next(parquet.iter_batches(1, row_groups=[first], columns=[name]))
            except (pa.ArrowException, OSError) as error:
                if is_passing(error):
                    raise
                yield name


def _contradiction(metadata: pq.FileMetaData) -> str | None:
    """Return how a footer contradicts itself on its rows: a damaged count would lose some.

    What it tells of columns stays unread here: where that is damaged, pyarrow 26.0.1 ends the
    process.
    """
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if sum(groups) == metadata.num_rows and min(groups, default=0) >= 0:
        return None
    return f"its footer tells of {metadata.num_rows} rows, its row groups of {sum(groups)}"


def _named_twice(names: list[str]) -> str | None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"two columns have the same name: {listed(twice)}" if twice else None
