"""One run at a time in an output folder."""

from pathlib import Path
from typing import NoReturn

from pipeline.data.filesystem import Place
from pipeline.data.sink import RUN
from pipeline.errors import UsageError

from . import file_lock
from .pulse import is_alive, read_pulse


def is_locked(output: Place) -> bool:
    """Return whether a run is at work on an output."""
    if not output.is_local:
        pulse = read_pulse(output)
        return pulse is not None and is_alive(pulse)
    return file_lock.is_locked(Path((output / RUN / "lock").path))


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
        self._lock = file_lock.FileLock(Path((output / RUN / "lock").path))

    def take(self) -> None:
        """Take the lock.

        Raises:
            UsageError: if another run has it, naming that run.
        """
        if not self._output.is_local:
            pulse = read_pulse(self._output)
            if pulse is not None and is_alive(pulse):
                self._refuse("process {process} on {host}, since {started}".format_map(pulse))
            return
        if not self._lock.take():
            self._refuse(self._lock.holder())

    def _refuse(self, holder: str) -> NoReturn:
        raise UsageError(
            f"another run is at work in output.path {self._name} ({holder}): "
            "wait for it, or give another output.path"
        )

    def sign(self, holder: str) -> None:
        """Say in the lock who holds it, for the run that will be refused."""
        self._lock.sign(holder)

    def release(self) -> None:
        """Let go of the folder."""
        self._lock.release()
