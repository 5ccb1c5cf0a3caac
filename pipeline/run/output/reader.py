"""Reading a published output: all of one publication, whatever is published meanwhile."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from hyperdiag.data.filesystem import Place, files_in, resolve
from hyperdiag.data.object_store.tries import is_passing
from hyperdiag.data.output_folder import DATA, QUARANTINE, STAGED, SUCCESS, shard_of
from hyperdiag.messages.errors import HyperdiagError, InputError, UsageError, closest_or_all
from hyperdiag.messages.masking import masked

from .current import Published
from .fence import current_of
from .listing import data_paths, quarantine_paths

Result = TypeVar("Result")

_TRIES = 10
_PAUSES = (0.1, 0.5, 2.0)  # seconds
_NO_COLUMN = re.compile(r"No match for FieldRef\.Name\((.*?)\) in ")  # Arrow's words


class Publication(NamedTuple):
    """What is published in an output at a moment.

    Attributes:
        output: the output folder.
        published: what the output says of it; None where the release that did it did not say.
    """

    output: Place
    published: Published | None

    @property
    def folder(self) -> Place:
        """Where its plan, its manifest and its statistics are, by their names in an output."""
        folding = self.published is not None and self.published.folding
        return self.output / STAGED if folding else self.output

    def data_paths(self) -> list[str]:
        """Return the paths of its data files."""
        if self.published is None:
            return _paths_in(self.output / DATA)
        return data_paths(self.output, self.published.listing)

    def quarantine_paths(self) -> list[str]:
        """Return the paths of its quarantine files."""
        if self.published is None:
            return _paths_in(self.output / QUARANTINE)
        return quarantine_paths(self.output, self.published.listing)


def files(path: str) -> list[str]:
    """Return the data files that are published in an output, at this moment.

    For readers that take a list of files. An update that is published while they are being read
    replaces some of them: `read` reads again then.

    Args:
        path: the output folder, a local path or a URI.

    Returns:
        Local paths, or `s3://bucket/...` (`gs://`, `abfs://`) without credentials and options.

    Raises:
        UsageError: if nothing is published there.
    """
    output = resolve(path)
    paths = Publication(output, _published(output, path)).data_paths()
    if output.is_local:
        return paths
    bucket, _, _ = output.path.partition("/")
    begin = _uri_of_bucket(output, bucket)
    return [begin + each.removeprefix(bucket) for each in paths]


def _uri_of_bucket(output: Place, bucket: str) -> str:
    kind = output.filesystem.type_name
    if kind != "abfs":
        scheme = "gs" if kind == "gcs" else kind
        return f"{scheme}://{bucket}"
    _, (options,) = output.filesystem.__reduce__()
    account, authority = options["account_name"], options["dfs_storage_authority"]
    if authority.startswith("."):
        return f"abfs://{bucket}@{account}{authority}"
    return f"abfs://{account}@{authority}/{bucket}"


def read(
    path: str, columns: list[str] | None = None, filter: ds.Expression | None = None
) -> pa.Table:
    """Return the rows that are published in an output, each once, whatever is published meanwhile.

    Args:
        path: the output folder, a local path or a URI.
        columns: names of those that are wanted; None: all.
        filter: which rows are wanted, such as `pyarrow.compute.field("vol") > 0.2`; None: all.

    Raises:
        UsageError: if nothing is published there, a column is unknown, or the filter cannot be
            asked of them.
        InputError: if the output changed each time while it was read.
    """
    return consistently(path, lambda publication: rows_of(publication, columns, filter))


def rows_of(
    publication: Publication, columns: list[str] | None, filter: ds.Expression | None
) -> pa.Table:
    """Return rows of a publication: see `read`.

    Raises:
        UsageError: if a column is unknown, or the filter cannot be asked of them.
        OSError, ArrowException: if a file cannot be read.
    """
    paths = publication.data_paths()
    return _table(publication.output, paths, columns, filter)


def _table(output: Place, paths: list[str], columns: list[str] | None, filter: Any) -> pa.Table:
    return _dataset(output, paths, columns, filter).to_table(columns=columns, filter=filter)


def _dataset(
    output: Place, paths: list[str], columns: list[str] | None, filter: ds.Expression | None
) -> ds.Dataset:
    dataset = ds.dataset(paths, filesystem=output.filesystem, format="parquet")
    names = dataset.schema.names
    for name in columns or ():
        if name not in names:
            raise UsageError(f"no column '{name}'{closest_or_all(name, names)}")
    try:
        dataset.scanner(filter=filter)  # it looks at the types of columns, and at no row
        if filter is not None:
            dataset.schema.empty_table().filter(filter)  # whether it says yes or no
    except (TypeError, pa.ArrowException) as error:
        missing = _NO_COLUMN.match(str(error))
        why = f"no column '{missing[1]}'{closest_or_all(missing[1], names)}" if missing else error
        raise UsageError(f"filter {filter}: {why}") from error
    return dataset


def batches_of(
    path: str, rows: int, columns: list[str] | None, filter: ds.Expression | None
) -> Iterator[tuple[Publication, pa.Table]]:
    """Yield the rows of one publication, some at a time, none of them empty.

    Args:
        path: the output folder, a local path or a URI.
        rows: at a time, at most.
        columns, filter: see `read`.

    Raises:
        UsageError: if nothing is published there, or a column is unknown.
        InputError: if another is published before all have been read.
    """
    output = resolve(path)
    published = _published(output, path)
    publication = Publication(output, published)
    try:
        dataset = _dataset(output, publication.data_paths(), columns, filter)
        for batch in dataset.to_batches(columns=columns, filter=filter, batch_size=rows):
            # Files are replaced only after another has been published.
            if _published(output, path) != published:
                raise _changed(path)
            if batch.num_rows:
                yield publication, pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        if _published(output, path) == published:  # no other was published: it is damaged
            raise
        raise _changed(path) from error


def _changed(path: str) -> InputError:
    return InputError(f"{masked(path)} was updated while it was read: begin again")


def consistently(path: str, step: Callable[[Publication], Result]) -> Result:
    """Return what a step makes of a publication that was the output's until the step had ended.

    Where another is published meanwhile, the step is taken again, with that.

    Args:
        path: the output folder, a local path or a URI.
        step: reads from a publication.

    Raises:
        UsageError: if nothing is published there.
        InputError: if the output changed each time.
    """
    output = resolve(path)
    for _ in range(_TRIES):
        published = _published(output, path)
        try:
            result = step(Publication(output, published))
        except (OSError, pa.ArrowException, HyperdiagError):
            if _published(output, path) == published:  # no other was published: it is damaged
                raise
            continue
        if _published(output, path) == published:
            return result
    raise InputError(f"{masked(path)} changed {_TRIES} times while it was read: read it later")


def _published(output: Place, path: str) -> Published | None:
    """Return what is published; None where the release that did it did not say.

    Raises:
        UsageError: if nothing is.
    """
    for pause in (*_PAUSES, None):
        try:
            return _published_now(output, path)
        except UsageError as error:
            # A file that goes, or is replaced, while it is read; a store that is busy.
            cause = error.__cause__
            gone = isinstance(cause, FileNotFoundError) or (cause is not None and is_passing(cause))
            if pause is None or not gone:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def _published_now(output: Place, path: str) -> Published | None:
    published = current_of(output).published
    success = output / SUCCESS
    signed = success.read_bytes().decode(errors="replace").strip() if success.exists() else None
    if published and not published.folding and signed not in (None, published.plan):
        raise InputError(
            f"{masked(path)}: {SUCCESS} is of plan {signed}, the listing of {published.plan}: an "
            "earlier release went on with this output, or a part of it was copied; the same "
            "command as before mends that"
        )
    if published is None and signed is None:
        raise UsageError(
            f"nothing is published in {masked(path)} (yet): see hyperdiag status output.path=..."
        )
    return published


def _paths_in(folder: Place) -> list[str]:
    infos = files_in(folder)
    return sorted(info.path for info in infos if shard_of(info.base_name) >= 0)
