"""Places: local paths and URIs, on any filesystem that pyarrow resolves."""

import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pyarrow import ArrowException, fs

from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .object_store.tries import STORES, open_s3
from .object_store.upload import upload

# Raises if what is about to be done is not to be done any longer.
Guard = Callable[[], None]


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

    @property
    def is_store(self) -> bool:
        """Whether this is in an object store, where nothing can be renamed."""
        return self.filesystem.type_name in STORES

    def real(self) -> "Place":
        """Return the same place by the path that no link and no `..` is in, where it is local."""
        return self._replace(path=os.path.realpath(self.path)) if self.is_local else self

    def contains(self, other: "Place") -> bool:
        """Return whether another place is this one or lies in it, by their paths as they are."""
        folder = self.path.rstrip("/") + "/"
        return f"{other.path}/".startswith(folder) and self._is_on_that_of(other)

    def _is_on_that_of(self, other: "Place") -> bool:
        if self.is_store:
            # Not by ==: one store is several to pyarrow, by who asks it and how often.
            return _server(self.filesystem) == _server(other.filesystem)
        return self.filesystem == other.filesystem

    def __str__(self) -> str:
        return f"{self.filesystem.type_name}://{self.path}" if self.is_store else self.path

    def info(self) -> fs.FileInfo:
        """Return what is here: type, size, modification time.

        Raises:
            UsageError: if that cannot be found out (no access, no such server).
        """
        try:
            return self.filesystem.get_file_info(self.path)
        except (OSError, ArrowException) as error:
            raise UsageError(f"cannot look at {self}: {error}") from error

    def exists(self) -> bool:
        """Return whether there is a file or a folder here."""
        return self.info().type != fs.FileType.NotFound

    def read_bytes(self) -> bytes:
        """Return the content of the file here.

        Raises:
            UsageError: if it cannot be read.
        """
        try:
            with self.filesystem.open_input_file(self.path) as file:
                return file.read(file.size())  # at once: else a request for each 256 KiB
        except (OSError, ArrowException) as error:
            raise UsageError(f"cannot read {self}: {error}") from error


def _server(filesystem: fs.FileSystem) -> tuple[str, ...] | None:
    """Return what tells one store from another, whoever asks; None of what is no store."""
    if filesystem.type_name not in STORES:
        return None
    _, (arguments,) = filesystem.__reduce__()
    if filesystem.type_name == "abfs":
        return "abfs", arguments["account_name"], arguments["blob_storage_authority"]
    return filesystem.type_name, arguments["endpoint_override"]


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


def real_places(places: Iterable[Place]) -> Iterator[Place]:
    """Yield what `real` says of each; quick where many share a folder."""
    folder = functools.cache(lambda path: os.path.realpath(path).rstrip("/"))
    for place in places:
        parent, _, name = place.path.rpartition("/")
        if place.is_local:
            real = place._replace(path=f"{folder(parent or '/')}/{name}")
            # Of a million files pathlib would make a quarter of the plan's time.
            yield real.real() if os.path.islink(real.path) else real  # noqa: PTH114
        else:
            yield place


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
            return Place(*(open_s3 if path.startswith("s3:") else fs.FileSystem.from_uri)(path))
        except (ValueError, TypeError, OSError) as error:
            # The cause repeats the URI, more or less as given, and whatever it carries.
            raise UsageError(f"cannot open {masked(path)}: {masked(str(error))}") from None
    return Place(fs.LocalFileSystem(), absolute(path))


def write_whole(place: Place, content: bytes, scratch: Place) -> None:
    """Write a file so that it appears whole or not at all.

    Args:
        place: of the file.
        content: of the file.
        scratch: where it is written first, unless it is in an object store.

    Raises:
        OSError: if it cannot be written.
    """
    if place.is_store:
        upload(place.filesystem, place.path, io.BytesIO(content))
        return
    with scratch.filesystem.open_output_stream(scratch.path) as stream:
        stream.write(content)
    publish(scratch, place)


def publish(scratch: Place, place: Place, guard: Guard | None = None) -> None:
    """Give a finished scratch file its name, replacing any file of that name, in one step.

    On a local filesystem the content reaches the disk before the name does.

    Args:
        scratch: the file.
        place: for it.
        guard: called before another file of that name is replaced, on a local filesystem.
    """
    if scratch.is_local:
        descriptor = os.open(scratch.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if guard:
            try:
                os.link(scratch.path, place.path)
            except FileExistsError:
                guard()
            except OSError:  # a filesystem without hard links
                pass
            else:
                Path(scratch.path).unlink()
                return
    scratch.filesystem.move(scratch.path, place.path)


def files_in(folder: Place) -> list[fs.FileInfo]:
    """Return what is in a folder; nothing if there is no such folder."""
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    return folder.filesystem.get_file_info(selector)


class FoundFile(NamedTuple):
    """A file or folder in a folder; its attributes are called as those of pyarrow's `FileInfo`.

    Attributes:
        base_name: its name.
        size: bytes; None of a folder.
        mtime_ns: modification time, nanoseconds since 1970; None where the store has none.
    """

    base_name: str
    size: int | None
    mtime_ns: int | None


def scan(folder: Place) -> Iterator[FoundFile]:
    """Yield what is in a folder, as it is found; nothing if there is no such folder.

    On a local filesystem nothing is held: of ten million files, pyarrow's listing has 2.4 GB.
    """
    if not folder.is_local:
        for info in files_in(folder):
            yield FoundFile(info.base_name, info.size, info.mtime_ns)
        return
    try:
        entries = os.scandir(folder.path)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            try:
                status = entry.stat()
            except FileNotFoundError:  # it went meanwhile, or is a link that leads nowhere
                continue
            size = None if entry.is_dir() else status.st_size
            yield FoundFile(entry.name, size, status.st_mtime_ns)


def nearest(output: Place) -> Path:
    """Return the folder at a local place, or the nearest above it that is there."""
    path = Path(output.path)
    return next(folder for folder in (path, *path.parents) if folder.exists())
