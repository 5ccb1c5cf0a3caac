"""One run at a time in an output folder."""

from pathlib import Path

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import LOCK
from hyperdiag.messages.errors import UsageError
from hyperdiag.process.file_lock import FileLock, holder_of

from .heartbeat import is_alive, read_heartbeat


def is_locked(output: Place) -> bool:
    """Return whether a run is at work on an output."""
    return _holder(output) is not None


def check_unlocked(output: Place, name: str) -> None:
    """Check that no run is at work on an output, without locking it.

    Args:
        output: the folder.
        name: what messages call it.

    Raises:
        UsageError: naming that run.
    """
    holder = _holder(output)
    if holder is not None:
        raise _locked(name, holder)


def _locked(name: str, holder: str) -> UsageError:
    return UsageError(
        f"another run is at work in output.path {name} ({holder}): "
        "wait for it, or give another output.path"
    )


def _holder(output: Place) -> str | None:
    """Return who is at work on an output; None if nobody is."""
    if output.is_local:
        return holder_of(_lock_path(output))
    heartbeat = read_heartbeat(output)
    if heartbeat is None or not is_alive(heartbeat):
        return None
    return heartbeat.writer


def _lock_path(output: Place) -> Path:
    return Path((output / LOCK).path)


class Lock:
    """A lock on an output folder.

    On this machine the kernel drops it when this process ends, however it ends. Object stores have
    no locks: there a run is refused while another writes its heartbeat. That begins with the work,
    so two runs can start at once; with one plan they write the same bytes, and with two the one
    whose plan was replaced is not published (see `Ledger.publish`).

    Args:
        output: the folder.
        name: what messages call it.
    """

    def __init__(self, output: Place, name: str):
        self._output, self._name = output, name
        self._lock = FileLock(_lock_path(output))

    def take(self) -> None:
        """Take the lock.

        Raises:
            UsageError: if another run has it, naming that run.
        """
        if not self._output.is_local:
            check_unlocked(self._output, self._name)
        elif not self._lock.take():
            raise _locked(self._name, self._lock.signature())

    def sign(self, holder: str) -> None:
        """Say in the lock who holds it, for the run that will be refused."""
        self._lock.sign(holder)

    def release(self) -> None:
        """Let go of the folder."""
        self._lock.release()
