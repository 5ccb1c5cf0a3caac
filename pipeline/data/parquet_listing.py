"""What stands at a dataset's path: its files, their row groups, their columns, the bad ones."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.masking import masked

from .arrow_workarounds import without_views
from .dataset_files import find_files
from .filesystem import Place
from .shard import InputFile
from .store import is_passing
from .threads import each


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


def list_parquet(path: str) -> Listing:
    """List a dataset and read its footers, many at a time.

    Every file must have the columns that most files have, by name and type, in any order; the
    others are bad files. Names that begin with `_` or `.` are not data, but for keys (`_day=1`).

    Args:
        path: a file, a folder (read recursively), or a glob; a local path or a URI.

    Raises:
        UsageError: if there is nothing there, or nothing that can be read, or no answer.
    """
    place, infos = find_files(path)
    files: list[InputFile] = []
    kinds: list[_Kind] = []  # of each file
    bad: list[BadFile] = []
    distinct: dict[bytes, _Kind] = {}
    for file, footer in _footers(place, infos):
        if isinstance(footer, str):
            bad.append(BadFile(file, footer))
            continue
        files.append(footer[0])
        schema = footer[1].remove_metadata()
        kind = distinct.setdefault(schema.serialize().to_pybytes(), _Kind(schema, file))
        kind.files += 1
        kinds.append(kind)
    if not files:
        reasons = "; ".join(f"{file.path}: {file.reason}" for file in bad[:5])
        raise UsageError(f"dataset.path {masked(path)}: no file can be read: {reasons}")
    model = _usual(distinct.values())
    keys = _partition_schema(place, [file.path for file in files], model.schema.names)
    for kind in distinct.values():
        kind.compare(model)
    bad += [BadFile(f.path, k.wrong) for f, k in zip(files, kinds, strict=True) if k.wrong]
    files = [file for file, kind in zip(files, kinds, strict=True) if not kind.wrong]
    # What one file declares free of nulls, another may not.
    own = [field.with_nullable(True) for field in model.schema if field.name not in keys.names]
    schema = pa.schema([*own, *keys]).remove_metadata()
    return Listing(tuple(files), tuple(sorted(bad)), schema, tuple(keys.names), place.path)


@dataclass
class _Kind:
    """Files of one schema: of a million files, few are held.

    Attributes:
        schema: theirs.
        first: the path of the first of them.
        files: how many they are.
        wrong: why they cannot be used; empty if they can.
    """

    schema: pa.Schema
    first: str
    files: int = 0
    wrong: str = ""

    def compare(self, model: "_Kind") -> None:
        """Say what is wrong with files of this kind in a dataset of the other."""
        difference = _difference(self.schema, model.schema)
        if difference:
            self.wrong = f"{difference}, unlike {model.first}"


def _usual(kinds: Iterable[_Kind]) -> _Kind:
    """Return the first kind of those whose columns most files have."""
    counts: Counter[frozenset[tuple[str, str]]] = Counter()
    firsts: dict[frozenset[tuple[str, str]], _Kind] = {}
    for kind in kinds:
        columns = _columns_of(kind.schema)
        counts[columns] += kind.files
        firsts.setdefault(columns, kind)
    return firsts[counts.most_common(1)[0][0]]


def _footers(
    place: Place, infos: list[fs.FileInfo]
) -> Iterator[tuple[str, tuple[InputFile, pa.Schema] | str]]:
    """Yield each path with what its footer says, or why that cannot be read; `infos` is used up."""
    infos.reverse()
    taken = (infos.pop() for _ in range(len(infos)))
    yield from each(lambda info: (info.path, _footer(place.filesystem, info)), taken)


def _footer(filesystem: fs.FileSystem, info: fs.FileInfo) -> tuple[InputFile, pa.Schema] | str:
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
            _columns_of(schema)  # fails here for names that are no UTF-8
            return file, schema
    except (pa.ArrowException, OSError, ValueError) as error:  # names that are no UTF-8, too
        if is_passing(error):  # no fault of the file's, which must not be left out for it
            raise UsageError(f"dataset.path: cannot read {info.path}: {error}") from error
        return next(iter(str(error).splitlines()), type(error).__name__)


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


def _partition_schema(place: Place, paths: list[str], own: list[str]) -> pa.Schema:
    folders = {path.rpartition("/")[0]: path for path in paths}
    parts = {part for folder in folders for part in folder.split("/") if "=" in part}
    keys = {unquote(part.partition("=")[0]) for part in parts}
    if not keys:
        return pa.schema([])
    options = ds.FileSystemFactoryOptions(
        partitioning=ds.HivePartitioning.discover(), partition_base_dir=place.path
    )
    some = list(folders.values())  # one file of each folder
    factory = ds.FileSystemDatasetFactory(place.filesystem, some, ds.ParquetFileFormat(), options)
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
    types = {field.name: field.type for field in schema}
    wanted = {field.name: field.type for field in reference}
    for name, kind in wanted.items():
        if name not in types:
            return f"has no column '{name}'"
        if types[name] != kind:
            return f"column '{name}' is {types[name]}, not {kind}"
    extra = [name for name in types if name not in wanted]
    return f"has an extra column '{extra[0]}'" if extra else None
