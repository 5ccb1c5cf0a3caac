"""One run at a time in an output folder: a lock of the kernel where there is one, and a lease."""

import time
from pathlib import Path

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import LOCK
from hyperdiag.process.file_lock import FileLock, NoFileLocks, holder_of

from .fence import current_of, held
from .heartbeat import is_alive, read_heartbeat
from .lease import Lease

_LOOK_SECONDS = 0.5


def is_locked(output: Place) -> bool:
    """Return whether a run is at work on an output."""
    return _holder(output) is not None


def check_unlocked(output: Place, name: str) -> None:
    """Check that no run is at work on an output, without locking it.

    Args:
        output: the folder.
        name: what messages call it.

    Raises:
        Busy: naming that run.
        OSError: if it cannot be found out.
    """
    holder = _holder(output)
    if holder is not None:
        raise held(name, holder)


def _holder(output: Place) -> str | None:
    """Return who is at work on an output, as far as one look can tell; None if nobody is."""
    if output.is_local:
        try:
            holder = holder_of(_lock_path(output))
        except NoFileLocks:
            holder = None
        if holder is not None:
            return holder
    lease = current_of(output).holder
    if lease is not None:
        return lease.writer if lease.is_alive else None
    heartbeat = read_heartbeat(output)  # all there is where no lease can be kept
    if output.is_local or heartbeat is None or not is_alive(heartbeat):
        return None
    return heartbeat.writer


def _lock_path(output: Place) -> Path:
    return Path((output / LOCK).path)


class Lock:
    """A lock on an output folder.

    On this machine the kernel drops it when this process ends, however it ends; on a network's
    filesystem it may hold for this machine alone, or not at all, and an object store has none: a
    lease decides there, which a run that died holds until it has lapsed.

    Args:
        output: the folder.
        name: what messages call it.

    Attributes:
        lease: on the folder.
    """

    def __init__(self, output: Place, name: str):
        self._output, self._name = output, name
        self._lock = FileLock(_lock_path(output)) if output.is_local else None
        self.lease = Lease(output, name)

    def take(self, wait_seconds: float = 0.0) -> None:
        """Take the folder.

        Args:
            wait_seconds: for which another run is waited for that has it.

        Raises:
            Busy: if another run has it, naming that run.
            OSError: if that cannot be found out.
        """
        began = time.monotonic()
        locked = False
        if self._lock:
            try:
                while not (locked := self._lock.take()):
                    if time.monotonic() - began >= wait_seconds:
                        raise held(self._name, self._lock.signature())
                    time.sleep(_LOOK_SECONDS)
                self._lock.sign(self.lease.writer)
            except NoFileLocks:
                locked = False
        self.lease.take(wait_seconds - (time.monotonic() - began), nobody_else_here=locked)
        if not self.lease.can_be_held:
            heartbeat = read_heartbeat(self._output)
            if heartbeat is not None and is_alive(heartbeat):
                raise held(self._name, heartbeat.writer)

    def release(self) -> None:
        """Let go of the folder."""
        self.lease.release()
        if self._lock:
            self._lock.release()
