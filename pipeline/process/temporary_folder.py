"""A temporary folder that is removed even after a kill: by the next run that makes one."""

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path

_PREFIX = "hd-"  # short, since the folder holds sockets
_LOCK = "driver.lock"


class TemporaryFolder:
    """A new folder, with a lock in it that the kernel drops when this process ends in any way.

    Folders whose lock nobody holds are of killed runs, and are removed.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        _remove_abandoned()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
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


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        # Another user's, another run's that ended just now, or one that is at work.
        with contextlib.suppress(OSError), lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
