"""A temporary folder that is removed even after a kill: by the next run that makes one."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from hyperdiag.messages.errors import UsageError, first_line, listed

_PREFIX = "hd-"  # short, since the folder holds sockets
_RANDOM = 8  # characters that tempfile puts behind it
_LOCK = "driver.lock"
# Where a short path can be had if TMPDIR is long, as batch systems make it.
_SHORT_PARENTS = ("/tmp", "/var/tmp", "/dev/shm")


class TemporaryFolder:
    """A new folder, with a lock in it that the kernel drops when this process ends in any way.

    Folders whose lock nobody holds are of killed runs, and are removed.

    Args:
        longest: bytes that its path may have; where TMPDIR is too long for that, the folder is made
            elsewhere. None: any number.

    Attributes:
        path: of the folder.

    Raises:
        UsageError: if no folder can be made, or none with so short a path.
    """

    def __init__(self, longest: int | None = None) -> None:
        try:
            _remove_abandoned()
            self.path = _make(longest)
        except OSError as error:
            raise UsageError(
                f"no temporary folder can be made ({first_line(error)}): set TMPDIR to a folder "
                "on this machine that can be written to"
            ) from error
        # Held open on purpose: the open file is the lock. It gets its name once it is held, so that
        # no other run can take this folder for an abandoned one.
        unseen = Path(self.path) / f"{_LOCK}.new"
        self._lock = unseen.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unseen.rename(unseen.with_name(_LOCK))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _make(longest: int | None) -> str:
    first = tempfile.gettempdir()
    if longest is None:
        return tempfile.mkdtemp(prefix=_PREFIX)
    for parent in (first, *_SHORT_PARENTS):
        if len(os.fsencode(f"{parent}/{_PREFIX}")) + _RANDOM <= longest:
            with contextlib.suppress(OSError):
                return tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    raise UsageError(
        f"the temporary folder {first} has too long a path for the sockets of Ray, and none can be "
        f"made in {listed(_SHORT_PARENTS)}: set TMPDIR to a local folder with a path of at most "
        f"{longest - len(_PREFIX) - _RANDOM - 1} characters"
    )


def _remove_abandoned() -> None:
    for parent in {tempfile.gettempdir(), *_SHORT_PARENTS}:
        for lock in Path(parent).glob(f"{_PREFIX}*/{_LOCK}"):
            # Another user's, another run's that ended just now, or one that is at work.
            with contextlib.suppress(OSError), lock.open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
