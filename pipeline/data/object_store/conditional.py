"""Conditional requests to an object store: an object is written if it is as it was seen, or not."""

import os
import time
from collections.abc import Callable, Mapping
from mmap import ACCESS_READ, mmap
from typing import IO, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from pyarrow import fs

from .client import client_of
from .tries import PassingError, attempts_of

_Result = TypeVar("_Result")
# What tells one content of an object from another: its "e_tag", its "version", or both.
Version = dict[str, str]

# As `store` has it for pyarrow's requests.
_FIRST_PAUSE_SECONDS = 0.05
_CONFLICTS = 20
_LONGEST_PAUSE_SECONDS = 5.0
# Where credentials are looked for when nothing else has any: it is no answer of the store's.
_METADATA_SERVICE = "169.254."


class Conflict(Exception):
    """What was to be replaced is not as it was seen, or what was to be made is there already."""


class ConditionalStore:
    """The bucket, or container, that an object is in.

    Args:
        filesystem: an object store that pyarrow opened.
        path: of the object, with its bucket.
        size: bytes of what is to be written: a request may take longer for more.

    Raises:
        NotImplementedError: if no client for such a store is known.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str, size: int = 0):
        self._store = client_of(filesystem, path.partition("/")[0], size)
        self._attempts = attempts_of(filesystem)

    def read(self, path: str) -> tuple[bytes, Version]:
        """Return the content of an object and its version.

        Raises:
            FileNotFoundError: if there is none.
            PassingError: if the store does not answer for now.
            OSError: if it refuses.
        """

        def get() -> tuple[bytes, Version]:
            answer = obstore.get(self._store, _key(path))
            return bytes(answer.bytes()), _version(answer.meta)

        return self._persistently(get)

    def version(self, path: str) -> Version | None:
        """Return the version of an object; None if there is none.

        Raises:
            PassingError, OSError: as `read`.
        """
        try:
            return _version(self._persistently(lambda: obstore.head(self._store, _key(path))))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes | mmap, seen: Version | None) -> Version:
        """Write an object if it is as it was seen, in one request; return its new version.

        An answer that is lost leaves open whether it was written: then, too, this is a conflict.

        Args:
            path: of the object, with its bucket.
            content: of it.
            seen: the version that it must have; None: there must be none.

        Raises:
            Conflict: if it is another by now.
            PassingError, OSError: as `read`.
        """
        mode: Any = "create" if seen is None else seen

        def put() -> Version:
            try:
                return _version(obstore.put(self._store, _key(path), content, mode=mode))
            except (AlreadyExistsError, PreconditionError) as error:
                raise Conflict(path) from error
            except FileNotFoundError as error:  # no such bucket
                raise OSError(_sentence(error)) from error

        return self._persistently(put)

    def put(self, path: str, content: IO[bytes]) -> None:
        """Write an object, whatever was there: it appears when all of it has arrived.

        Args:
            path: of the object, with its bucket.
            content: a file, all of which is written; one of more than 5 MB in parts.

        Raises:
            PassingError, OSError: as `read`.
        """

        def put() -> None:
            content.seek(0)
            obstore.put(self._store, _key(path), content)

        self._persistently(put)

    def _persistently(self, request: Callable[[], _Result]) -> _Result:
        """Return what a request returns, tried again where the store is busy or silent."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return request()
            except BaseError as error:
                if not _is_passing(error):
                    raise OSError(_sentence(error)) from error
                if attempt == self._attempts:
                    raise PassingError(_sentence(error)) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")


def put_guarded(
    filesystem: fs.FileSystem, path: str, file: IO[bytes], guard: Callable[[], None]
) -> None:
    """Write a file to an object in one request, in which it takes no other's place unseen.

    Args:
        filesystem: as `ConditionalStore` has it.
        path: of the object, with its bucket.
        file: of this machine, with a descriptor.
        guard: called before another object of that name is replaced.

    Raises:
        PassingError, OSError: as `ConditionalStore.write`.
    """
    store = ConditionalStore(filesystem, path, file.seek(0, os.SEEK_END))
    content = mmap(file.fileno(), 0, access=ACCESS_READ)
    seen: Version | None = None
    for _ in range(_CONFLICTS):
        try:
            store.write(path, content, seen)
            return
        except Conflict:
            seen = store.version(path)
            guard()
    raise OSError(f"{path} is written by others all the time")


def _version(answer: Mapping[str, Any]) -> Version:
    return {name: answer[name] for name in ("e_tag", "version") if answer[name] is not None}


def _key(path: str) -> str:
    return path.partition("/")[2]


def _is_passing(error: BaseError) -> bool:
    # obstore 0.12.1 has one class for a connection that breaks, a time that is over, and for
    # answers that it has no class for: the number of the answer is in its text alone.
    text = str(error)
    if _METADATA_SERVICE in text:
        return False
    if "status code: " in text:
        return text.partition("status code: ")[2][:3] in {"429", "500", "502", "503", "504"}
    return "HTTP error" in text or "error sending request" in text or "operation timed out" in text


def _sentence(error: Exception) -> str:
    """Return the first line of an error: what follows repeats the request, and its headers."""
    return str(error).strip().partition("\n")[0]
