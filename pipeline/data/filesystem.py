"""Places: local paths and URIs, on any filesystem that pyarrow resolves."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from pyarrow import fs

from pipeline.errors import OutputError, UsageError


class Place(NamedTuple):
    """A path on a filesystem, as pyarrow takes it."""

    filesystem: fs.FileSystem
    path: str

    def __truediv__(self, name: str) -> "Place":
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{name}")

    @property
    def is_local(self) -> bool:
        """Whether this is a path of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def info(self) -> fs.FileInfo:
        """Return what is here: type, size, modification time."""
        return self.filesystem.get_file_info(self.path)

    def exists(self) -> bool:
        """Return whether there is a file or a folder here."""
        return self.info().type != fs.FileType.NotFound

    def read_bytes(self) -> bytes:
        """Return the content of the file here."""
        with self.filesystem.open_input_stream(self.path) as stream:
            return stream.read()


def is_uri(path: str) -> bool:
    """Return whether a path is a URI (`s3://...`, `file:///...`)."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def absolute(path: str) -> str:
    """Return a path that means the same from any folder.

    Raises:
        UsageError: if it begins with the home folder of nobody.
    """
    try:
        return path if is_uri(path) else str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise UsageError(f"cannot open {path}: {error}") from error


def below(path: str, name: str) -> str:
    """Return the path or URI of what is called `name` in the folder at a path or URI."""
    place, query, options = path.partition("?") if is_uri(path) else (path, "", "")
    return f"{place.rstrip('/')}/{name}{query}{options}"


def resolve(path: str) -> Place:
    """Return the place that a local path or a URI names.

    Raises:
        UsageError: if the URI's scheme is unknown or its parts do not fit together.
    """
    if is_uri(path):
        try:
            return Place(*fs.FileSystem.from_uri(path))
        except (ValueError, TypeError, OSError) as error:
            # The cause repeats the URI, and whatever it carries.
            cause = str(error).replace(path, masked(path))
            raise UsageError(f"cannot open {masked(path)}: {cause}") from None
    return Place(fs.LocalFileSystem(), absolute(path))


def masked(uri: str) -> str:
    """Return a path or URI without the credentials that it may carry."""
    place, query, options = uri.partition("?")
    # As far as the last @: a secret that nobody quoted may hold a slash or another @.
    place = re.sub(r"://[^/@:]*:.*@", "://***@", place)
    place = re.sub(r"://[^/@]+@", "://***@", place)
    secret = r"([^=&]*(?:secret|key|token|password)[^=&]*)=[^&]*"
    return place + query + re.sub(secret, r"\1=***", options, flags=re.I)


def write_whole(place: Place, content: bytes, scratch: Place) -> None:
    """Write a file so that it appears whole or not at all.

    Raises:
        OutputError: naming the path and the cause.
    """
    try:
        with scratch.filesystem.open_output_stream(scratch.path) as stream:
            stream.write(content)
        publish(scratch, place)
    except OSError as error:
        raise OutputError(f"cannot write {place.path}: {error}") from error


def publish(scratch: Place, place: Place) -> None:
    """Give a finished scratch file its name, replacing any file of that name, in one step.

    On a local filesystem the content reaches the disk before the name does.
    """
    if scratch.is_local:
        descriptor = os.open(scratch.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    scratch.filesystem.move(scratch.path, place.path)
