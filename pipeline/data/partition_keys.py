"""The keys in the paths of a Hive-partitioned dataset, such as `year=2025`."""

from collections.abc import Collection, Iterable
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.types as pt

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.masking import masked

from .filesystem import Place

_NULL = "__HIVE_DEFAULT_PARTITION__"


def partition_schema(
    place: Place, paths: Iterable[str], own: Collection[str], before: pa.Schema | None = None
) -> pa.Schema:
    """Return the keys in the paths of files, as columns.

    A key is a 32-bit integer if all its values are, written as integers are: `zip=01234` is text.

    Args:
        place: the folder below which they count.
        paths: of the files.
        own: columns of the files, which count instead of a key of the same name.
        before: the columns of an earlier run: what was text there stays text.

    Raises:
        UsageError: if a key has no value anywhere.
    """
    folders = {path.rpartition("/")[0]: path for path in paths}
    inside = (folder.removeprefix(place.path).split("/") for folder in folders)
    values: dict[str, set[str]] = {}
    for part in {part for parts in inside for part in parts if "=" in part}:
        key, _, value = part.partition("=")
        values.setdefault(unquote(key), set()).add(unquote(value))
    if not values:
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
            f"dataset.path {masked(place.path)}: its folders' keys {listed(sorted(values))} cannot "
            f"be read ({str(error).splitlines()[0]})"
        ) from error
    text = {
        name
        for name, texts in values.items()
        if not all(value == _NULL or _is_canonical(value) for value in texts)
    }
    if before is not None:
        text |= {field.name for field in before if pt.is_string(field.type)}
    keys = [field for field in inspected if field.name in values and field.name not in own]
    return pa.schema([f.with_type(pa.string()) if f.name in text else f for f in keys])


def _is_canonical(text: str) -> bool:
    """Return whether a text is what an integer is written as."""
    try:
        return str(int(text)) == text
    except ValueError:
        return False
