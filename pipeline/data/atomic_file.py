"""A small file that is replaced only by who has seen what it holds: compare and swap.

In an object store that is a conditional request. On a filesystem each content is a file of its own
whose name is the next number, made by a hard link, which fails where there is one: the content is
the file with the highest number.
"""

import contextlib
import os
import re
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

from .filesystem import Place
from .object_store.conditional import ConditionalStore, Conflict, Version

# Older ones go: who has listed the folder opens what it saw, meanwhile.
_KEPT = 3
_TRIES, _TRY_SECONDS = 20, 0.02
_END = b"\n"  # of a content that is whole
_NUMBERED = re.compile(r"\.?(\d{10})[.-]")


class AtomicFile(Protocol):
    """A file that can be compared and swapped."""

    def read(self) -> tuple[bytes | None, Any]:
        """Return what it holds, None if there is no such file yet, and the version of that.

        Raises:
            OSError: if it cannot be read.
        """

    def swap(self, content: bytes, seen: Any) -> Any:
        """Replace the content if it is that of a version; return the new version.

        Raises:
            Conflict: if it is another by now; or, of an object store, perhaps: see what it holds.
            OSError: if it cannot be written.
        """


def atomic_file(place: Place) -> AtomicFile | None:
    """Return a file, to be compared and swapped; None where that is not known to work.

    Args:
        place: of the file, whose name ends in `.json`; on a filesystem, of the folder of that name
            without the ending.
    """
    if place.is_local:
        return NumberedFiles(Path(place.path.removesuffix(".json")))
    try:
        return StoredObject(ConditionalStore(place.filesystem, place.path), place.path)
    except NotImplementedError:
        return None


class StoredObject:
    """An object of a store that knows conditional requests.

    Args:
        store: its bucket.
        path: of it, with the bucket.
    """

    def __init__(self, store: ConditionalStore, path: str):
        self._store, self._path = store, path

    def __str__(self) -> str:
        return self._path

    def read(self) -> tuple[bytes | None, Version | None]:
        """See `AtomicFile`."""
        try:
            return self._store.read(self._path)
        except FileNotFoundError:
            return None, None

    def swap(self, content: bytes, seen: Version | None) -> Version:
        """See `AtomicFile`."""
        return self._store.write(self._path, content, seen)


class NumberedFiles:
    """Files with numbers for names, of which the highest holds.

    Args:
        folder: of theirs alone; made when the first is.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def read(self) -> tuple[bytes | None, int]:
        """See `AtomicFile`."""
        for turn in range(_TRIES):
            numbers = sorted(self._numbers(), reverse=True)
            if not numbers:
                return None, 0
            # The highest may be half written for a moment, or for good, see `_link`.
            for number in numbers if turn == _TRIES - 1 else numbers[:1]:
                with contextlib.suppress(FileNotFoundError):  # others went on meanwhile
                    content = self._path(number).read_bytes()
                    if content.endswith(_END):
                        return content.removesuffix(_END), numbers[0]
                    time.sleep(_TRY_SECONDS)
        raise OSError(f"{self._folder} changes faster than it can be read, or is damaged")

    def swap(self, content: bytes, seen: int) -> int:
        """See `AtomicFile`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        number = seen + 1
        whole = self._folder / f".{number:010d}-{uuid.uuid4().hex}"
        try:
            _write(whole, content + _END)
            try:
                _link(whole, self._path(number), content + _END)
            except FileExistsError as error:
                raise Conflict(str(self._folder)) from error
        finally:
            whole.unlink(missing_ok=True)
        # This one may have come and gone before, while this process stood still.
        if max(self._numbers()) >= number + _KEPT:
            raise Conflict(str(self._folder))
        # What a process left that died in here goes, too.
        for path in self._folder.iterdir():
            old = _NUMBERED.match(path.name)
            if old and int(old[1]) <= number - _KEPT:
                path.unlink(missing_ok=True)
        return number

    def __str__(self) -> str:
        return str(self._folder)

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        matches = [_NUMBERED.match(name) for name in names if name.endswith(".json")]
        return [int(match[1]) for match in matches if match]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.json"


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(whole: Path, path: Path, content: bytes) -> None:
    """Give a whole file a name that must be new.

    Raises:
        FileExistsError: if it is not, or others went on by so many that the whole file is gone.
    """
    try:
        os.link(whole, path)
    except FileNotFoundError as error:
        raise FileExistsError(str(path)) from error
    except FileExistsError:
        raise
    except OSError:  # a filesystem without hard links: whole a moment later, or never
        _write(path, content)
