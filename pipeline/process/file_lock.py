"""A file that one process at a time can hold."""

import errno
import fcntl
import time
from pathlib import Path
from typing import IO

# Who asks whether there is a lock holds it for an instant, which is no holder.
_TRIES, _TRY_SECONDS = 5, 0.05


class NoFileLocks(OSError):
    """The filesystem has no locks (flock), or they do not work."""


def holder_of(path: Path) -> str | None:
    """Return what the process that holds the lock in a file signed with; None if none holds it.

    Raises:
        NoFileLocks: if that cannot be told.
    """
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return None if _flocked(file, fcntl.LOCK_SH) else _signature(file)


def _signature(file: IO[str]) -> str:
    return file.read().strip() or "unknown"


def _flocked(file: IO[str], kind: int) -> bool:
    """Lock an open file, if nobody else has; tell whether that was so."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EACCES:  # as some network filesystems say it
            return False
        raise NoFileLocks(error.errno, f"{file.name}: no file locks here: {error}") from error
    return True


class FileLock:
    """A lock that the kernel drops when its last holder ends, however that ends.

    Holders are this process and every one that inherits `descriptor`.

    Args:
        path: of the file; its folder must exist.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    @property
    def descriptor(self) -> int:
        """The open file that is the lock, for a child that shall hold it too."""
        assert self._file is not None
        return self._file.fileno()

    def take(self) -> bool:
        """Take the lock, if nobody else has it; tell whether that was so.

        Raises:
            NoFileLocks: if the filesystem has none.
        """
        # Held open on purpose: the open file is the lock.
        file = self._path.open("a+", encoding="utf-8")
        for _ in range(_TRIES):
            if _flocked(file, fcntl.LOCK_EX):
                self._file = file
                return True
            time.sleep(_TRY_SECONDS)
        file.close()
        return False

    def signature(self) -> str:
        """Return what the holder signed with."""
        with self._path.open(encoding="utf-8") as file:
            return _signature(file)

    def sign(self, holder: str) -> None:
        """Say in the lock who holds it, for whoever will be refused."""
        if self._file:
            self._file.truncate(0)
            self._file.write(holder)
            self._file.flush()

    def release(self) -> None:
        """Let go."""
        if self._file:
            self._file.close()
            self._file = None
