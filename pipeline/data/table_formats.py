"""Tables of formats whose metadata say which Parquet files, and which of their rows, are live."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from pyarrow import fs

from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .filesystem import Place, files_in
from .object_store.tries import is_passing


class _Format(NamedTuple):
    """A table format.

    Attributes:
        name: of the format.
        folder: where its metadata are, below the table's own.
        marker: a pattern of paths that a table has and nothing else does.
        export: how its live rows become plain Parquet.
    """

    name: str
    folder: str
    marker: re.Pattern[str]
    export: str


# Their markers follow the specifications: github.com/delta-io/delta/blob/master/PROTOCOL.md,
# iceberg.apache.org/spec, hudi.apache.org/tech-specs, paimon.apache.org/docs/master/concepts/spec.
_FORMATS = (
    _Format(
        "a Delta table",
        "_delta_log",
        re.compile(r"_delta_log/"),
        "COPY (FROM delta_scan('<table>')) TO 'rows.parquet'",
    ),
    _Format(
        "an Iceberg table",
        "metadata",
        re.compile(r"metadata/([^/]+\.metadata\.json|version-hint\.text)$"),
        "COPY (FROM iceberg_scan('<table>')) TO 'rows.parquet'",
    ),
    _Format("a Hudi table", ".hoodie", re.compile(r"\.hoodie/"), ""),
    _Format("a Paimon table", "snapshot", re.compile(r"snapshot/(snapshot-\d+|LATEST)$"), ""),
)


def check_plain_files(path: str, places: Iterable[Place]) -> None:
    """Check that places are no tables of another format, and lie in none.

    Args:
        path: of the dataset, as configured.
        places: files, and folders that are listed.

    Raises:
        UsageError: naming the table, and how its live rows become plain Parquet files.
    """
    seen: set[str] = set()
    try:
        for place in map(Place.real, places):
            for folder in (place.path, *map(str, PurePosixPath(place.path).parents)):
                if folder in seen or folder == ".":
                    break  # so are those above it
                seen.add(folder)
                for kind in _FORMATS:
                    if _is_there(place._replace(path=folder), kind):
                        _refuse(path, kind, folder)
    except OSError as error:  # a store may show a folder, and nothing of those above it
        if is_passing(error):
            raise UsageError(f"dataset.path: cannot list {masked(path)}: {error}") from error


def _is_there(folder: Place, kind: _Format) -> bool:
    metadata = folder / kind.folder
    if metadata.filesystem.get_file_info(metadata.path).type != fs.FileType.Directory:
        return False
    inside = (f"{kind.folder}/{info.base_name}" for info in files_in(metadata))
    return any(map(kind.marker.match, (f"{kind.folder}/", *inside)))


class TablesWithin:
    """The tables of other formats below a folder, as they come up in its listing.

    Args:
        base: the folder.
    """

    def __init__(self, base: Place):
        self._base = base
        self._tables: dict[str, _Format] = {}
        self._linked: dict[str, str] = {}

    def look(self, path: str, real: str | None) -> None:
        """Take note of a path below the folder, and of where a link leads from there."""
        if real is not None:
            self._linked[path] = real
        for kind in _FORMATS:
            start = path.find(f"/{kind.folder}/", len(self._base.path.rstrip("/")))
            if start >= 0 and kind.marker.match(path, start + 1):
                self._tables[path[:start]] = kind

    def check(self, path: str, files: Iterable[fs.FileInfo]) -> None:
        """Check that none of the files lies in a table that came up, or that a link leads into.

        Raises:
            UsageError: as `check_plain_files`, of the dataset at a path.
        """
        if not self._tables and not self._linked:
            return
        linked: set[str] = set()
        for info in files:
            for folder, kind in self._tables.items():
                if info.path.startswith(f"{folder}/"):
                    _refuse(path, kind, folder)
            if info.path in self._linked:
                linked.add(self._linked[info.path].rpartition("/")[0])
        check_plain_files(path, (self._base._replace(path=folder) for folder in sorted(linked)))


def _refuse(path: str, kind: _Format, folder: str) -> None:
    export = f" (with DuckDB: {kind.export})" if kind.export else ""
    raise UsageError(
        f"dataset.path {masked(path)}: {folder} is {kind.name}, whose files also hold rows that "
        "were deleted or replaced, and which is not read as a table yet: write its live rows to "
        f"plain Parquet files elsewhere{export}"
    )
