"""One run at a time in an output folder."""

import fcntl
import time
from pathlib import Path
from typing import IO

from pipeline.data.filesystem import Place
from pipeline.data.sink import RUN
from pipeline.errors import UsageError

from .pulse import is_alive, read_pulse

# Who asks whether there is a lock holds it for an instant, which is no other run.
_TRIES, _TRY_SECONDS = 5, 0.05


def is_locked(output: Place) -> bool:
    """Return whether a run is at work on an output."""
    return _holder(output) is not None


def refuse_if_locked(output: Place, name: str) -> None:
    """Refuse an output that a run is at work on, without locking it.

    Args:
        output: the folder.
        name: what messages call it.

    Raises:
        UsageError: naming that run.
    """
    holder = _holder(output)
    if holder is not None:
        raise _refusal(name, holder)


def _refusal(name: str, holder: str) -> UsageError:
    return UsageError(
        f"another run is at work in output.path {name} ({holder}): "
        "wait for it, or give another output.path"
    )


def _holder(output: Place) -> str | None:
    """Return who is at work on an output; None if nobody is."""
    if not output.is_local:
        pulse = read_pulse(output)
        if pulse is None or not is_alive(pulse):
            return None
        return "process {process} on {host}, since {started}".format_map(pulse)
    path = Path((output / RUN / "lock").path)
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return None if _flocked(file, fcntl.LOCK_SH) else _signature(file)


def _signature(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "unknown"


def _flocked(file: IO[str], kind: int) -> bool:
    """Lock an open file, if nobody else has; tell whether that was so."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Lock:
    """A lock on an output folder.

    On this machine the kernel drops it when this process ends, however it ends. Object stores have
    no locks: there a run is refused while another's pulse beats. The pulse begins with the work,
    so two runs can start at once; with one plan they write the same bytes, and with two the one
    whose plan was replaced is not published (see `Ledger.publish`).

    Args:
        output: the folder.
        name: what messages call it.
    """

    def __init__(self, output: Place, name: str):
        self._output, self._name = output, name
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            UsageError: if another run has it, naming that run.
        """
        if not self._output.is_local:
            refuse_if_locked(self._output, self._name)
            return
        # Held open on purpose: the open file is the lock.
        lock = Path((self._output / RUN / "lock").path).open("a+", encoding="utf-8")  # noqa: SIM115
        for _ in range(_TRIES):
            if _flocked(lock, fcntl.LOCK_EX):
                self._file = lock
                return
            time.sleep(_TRY_SECONDS)
        holder = _signature(lock)
        lock.close()
        raise _refusal(self._name, holder)

    def sign(self, holder: str) -> None:
        """Say in the lock who holds it, for the run that will be refused."""
        if self._file:
            self._file.truncate(0)
            self._file.write(holder)
            self._file.flush()

    def release(self) -> None:
        """Let go of the folder."""
        if self._file:
            self._file.close()
            self._file = None
