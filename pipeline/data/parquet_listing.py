"""What stands at a dataset's path: its files, their row groups, their columns, the bad ones."""

import fnmatch
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.errors import UsageError, listed

from .filesystem import Place, masked, resolve
from .workarounds import without_views

_FOOTER_READERS = 16  # footers are small and far away: many at a time, whatever the cores


class InputFile(NamedTuple):
    """One file as it stood when the run was planned.

    Attributes:
        path: on the dataset's filesystem.
        size: bytes.
        modified_ns: modification time, nanoseconds since 1970 (0 where the store has none).
        row_group_rows: rows of each of its row groups.
    """

    path: str
    size: int
    modified_ns: int
    row_group_rows: tuple[int, ...]


class BadFile(NamedTuple):
    """A file that cannot be used, and why."""

    path: str
    reason: str


class _Footer(NamedTuple):
    file: InputFile
    schema: pa.Schema
    columns: frozenset[tuple[str, str]]


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


def list_parquet(path: str) -> Listing:
    """List a dataset and read its footers, many at a time.

    Every file must have the columns that most files have, by name and type, in any order; the
    others are bad files. Names that begin with `_` or `.` are not data.

    Args:
        path: a file, a folder (read recursively), or a glob; a local path or a URI.

    Raises:
        UsageError: if there is nothing there, or nothing that can be read.
    """
    place, infos = _find(path)
    with ThreadPoolExecutor(_FOOTER_READERS) as readers:
        footers = list(readers.map(lambda info: _footer(place.filesystem, info), infos))
    good = [footer for footer in footers if isinstance(footer, _Footer)]
    bad = [BadFile(i.path, f) for i, f in zip(infos, footers, strict=True) if isinstance(f, str)]
    if not good:
        reasons = "; ".join(f"{file.path}: {file.reason}" for file in bad[:5])
        raise UsageError(f"dataset.path {masked(path)}: no file can be read: {reasons}")
    usual = Counter(footer.columns for footer in good).most_common(1)[0][0]
    model, reference, _ = next(footer for footer in good if footer.columns == usual)
    keys = _partition_schema(place, [footer.file.path for footer in good], reference.names)
    files = []
    for file, schema, _ in good:
        difference = _difference(schema, reference)
        if difference:
            bad.append(BadFile(file.path, f"{difference}, unlike {model.path}"))
        else:
            files.append(file)
    # What one file declares free of nulls, another may not.
    own = [field.with_nullable(True) for field in reference if field.name not in keys.names]
    schema = pa.schema([*own, *keys]).remove_metadata()
    return Listing(tuple(files), tuple(sorted(bad)), schema, tuple(keys.names), place.path)


def _find(path: str) -> tuple[Place, list[fs.FileInfo]]:
    place = resolve(path)
    info = place.info()
    if info.type == fs.FileType.File:
        return place, [info]
    if info.type == fs.FileType.Directory:
        base, keep = place.path, None
    else:
        parts = PurePosixPath(place.path).parts
        fixed = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), None)
        if fixed is None:
            raise UsageError(f"dataset.path: nothing at {masked(path)}")
        base, keep = str(PurePosixPath(*parts[:fixed])), _matcher(place.path)
    try:
        infos = [
            info
            for info in place.filesystem.get_file_info(fs.FileSelector(base, recursive=True))
            if info.type != fs.FileType.Directory
            and not _hidden(info.path, base)
            and (keep(info.path) if keep else info.extension in ("parquet", "parq", "pq"))
        ]
    except (OSError, UnicodeDecodeError) as error:  # a name in there that is no UTF-8
        raise UsageError(f"dataset.path: cannot list {masked(path)}: {error}") from error
    if not infos:
        what = "no file matches" if keep else "no Parquet file (*.parquet, *.pq) in"
        raise UsageError(f"dataset.path: {what} {masked(path)}")
    return Place(place.filesystem, base), sorted(infos, key=lambda info: info.path)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return a test of paths: `*` stays within a folder, `**` goes through any number of them."""
    wanted = PurePosixPath(pattern).parts

    def matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
        if not pattern:
            return not parts
        if pattern[0] == "**":
            return any(matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
        return (
            bool(parts)
            and fnmatch.fnmatchcase(parts[0], pattern[0])
            and matches(parts[1:], pattern[1:])
        )

    return lambda path: matches(PurePosixPath(path).parts, wanted)


def _hidden(path: str, base: str) -> bool:
    inside = PurePosixPath(os.path.relpath(path, base)).parts
    return any(part.startswith(("_", ".")) for part in inside)


def _footer(filesystem: fs.FileSystem, info: fs.FileInfo) -> _Footer | str:
    if info.type != fs.FileType.File:  # to open a pipe would wait for somebody to write
        return "is no regular file"
    try:
        with pq.ParquetFile(info.path, filesystem=filesystem) as parquet:
            metadata, schema = parquet.metadata, without_views(parquet.schema_arrow)
            wrong = _contradiction(metadata) or _named_twice(schema.names)
            if wrong:
                return wrong
            rows = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
            file = InputFile(info.path, info.size, info.mtime_ns or 0, rows)
            return _Footer(file, schema, _columns_of(schema))
    except (pa.ArrowException, OSError, ValueError) as error:  # names that are no UTF-8, too
        return next(iter(str(error).splitlines()), type(error).__name__)


def _contradiction(metadata: pq.FileMetaData) -> str | None:
    """Return how a footer contradicts itself on its rows: a damaged count would lose some.

    What it tells of columns stays unread here: where that is damaged, pyarrow ends the process.
    """
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if sum(groups) == metadata.num_rows and min(groups, default=0) >= 0:
        return None
    return f"its footer tells of {metadata.num_rows} rows, its row groups of {sum(groups)}"


def _named_twice(names: list[str]) -> str | None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"two columns have the same name: {listed(twice)}" if twice else None


def _partition_schema(place: Place, paths: list[str], own: list[str]) -> pa.Schema:
    options = ds.FileSystemFactoryOptions(
        partitioning=ds.HivePartitioning.discover(), partition_base_dir=place.path
    )
    factory = ds.FileSystemDatasetFactory(place.filesystem, paths, ds.ParquetFileFormat(), options)
    folders = {part for path in paths for part in PurePosixPath(path).parts[:-1] if "=" in part}
    keys = {unquote(folder.partition("=")[0]) for folder in folders}
    if not keys:
        return pa.schema([])
    try:
        inspected = factory.inspect(fragments=0)  # the paths alone: files may differ
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"dataset.path {masked(place.path)}: its folders' keys {listed(sorted(keys))} cannot "
            f"be read ({str(error).splitlines()[0]})"
        ) from error
    return pa.schema([f for f in inspected if f.name in keys and f.name not in own])


def _columns_of(schema: pa.Schema) -> frozenset[tuple[str, str]]:
    return frozenset((field.name, str(field.type)) for field in schema)


def _difference(schema: pa.Schema, reference: pa.Schema) -> str | None:
    found, wanted = ({field.name: field.type for field in one} for one in (schema, reference))
    for name, kind in wanted.items():
        if name not in found:
            return f"has no column '{name}'"
        if found[name] != kind:
            return f"column '{name}' is {found[name]}, not {kind}"
    extra = [name for name in found if name not in wanted]
    return f"has an extra column '{extra[0]}'" if extra else None
