"""Where a report goes that is not to be in its run's output."""

from uuid import uuid4

from pyarrow.fs import FileType

from hyperdiag.data.filesystem import Place, resolve, write_whole
from hyperdiag.data.output_folder import writing
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

_ENDINGS = (".html", ".htm")


def destination(file: str) -> Place:
    """Return the place that a report is to have.

    Args:
        file: a local path or a URI.

    Raises:
        UsageError: if a report must not or cannot go there.
    """
    place = resolve(file)
    folder, _, name = place.path.rpartition("/")
    said = f"file={masked(file)}"
    if not name.lower().endswith(_ENDINGS) or name.lower() in _ENDINGS:
        raise UsageError(f"{said}: give a name that ends in .html or .htm, such as report.html")
    if place.is_store:
        return place
    if place.info().type == FileType.Directory:
        raise UsageError(f"{said} is a folder: give the name of a file, such as {name}/report.html")
    if place._replace(path=folder or "/").info().type != FileType.Directory:
        raise UsageError(f"{said}: there is no folder {folder}: make it, or give another")
    return place


def write_page(place: Place, page: bytes) -> None:
    """Write a report so that it appears whole or not at all, and leave nothing else.

    Raises:
        OutputError: if it cannot be written.
    """
    folder, _, name = place.path.rpartition("/")
    scratch = place._replace(path=f"{folder}/.{name}.{uuid4().hex}.part")
    try:
        with writing(place, again="ask for the report again"):
            write_whole(place, page, scratch)
    finally:
        if not place.is_store and scratch.exists():
            scratch.filesystem.delete_file(scratch.path)
