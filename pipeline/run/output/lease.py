"""The lease: one run at a time holds an output, as long as it says so again and again.

Who takes an output over writes a number of its own into `run/current.json`. What a run that lost it
does after that fails: its next word, its publication, and the next file of each of its workers
(`Fence`).
"""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import replace

from hyperdiag.data.atomic_file import atomic_file
from hyperdiag.data.filesystem import Place
from hyperdiag.data.object_store.conditional import Conflict
from hyperdiag.data.object_store.tries import PassingError
from hyperdiag.data.output_folder import CURRENT
from hyperdiag.messages.errors import Busy, OutputError, first_line
from hyperdiag.process.proc import start_ticks

from .current import Current, Holder, Published, now, this_machine
from .fence import Fence, held, lost, read_current

log = logging.getLogger("hyperdiag")

_SECONDS, _STORE_SECONDS = 15.0, 60.0
_RENEWALS = 3  # within these
_LOOK_SECONDS = 0.5
_CLOCKS_SECONDS = 5.0  # by which the clocks of two machines may differ
_PATIENCE_SECONDS = 1.0  # with a store that does not answer, at the end
_held: set[str] = set()  # the runs of this process that hold an output


class Lease:
    """Holds an output for one run.

    Args:
        output: the folder.
        name: what messages call it.

    Attributes:
        run: the number of this run, drawn at random.
        writer: this run, for messages.
    """

    def __init__(self, output: Place, name: str):
        self._name = name
        self._output = output
        self._begin()
        self.writer = f"process {os.getpid()} on {socket.gethostname()}, since {now():%F %T}Z"
        self._file = atomic_file(output / CURRENT)
        self._seconds = _SECONDS if output.is_local else _STORE_SECONDS
        self._mutex = threading.RLock()

    def _begin(self) -> None:
        self.run = uuid.uuid4().hex
        self._current = Current()
        self._version: object = None
        self._renewed = 0.0
        self._lost: Busy | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")

    @property
    def can_be_held(self) -> bool:
        """Whether the output is where a lease can be kept."""
        return self._file is not None

    @property
    def published(self) -> Published | None:
        """What is published, as this run knows it."""
        return self._current.published

    def fence(self, path: str) -> Fence | None:
        """Return what workers ask; None where no lease can be kept.

        Args:
            path: or URI of the output.
        """
        return Fence(path, self.run) if self.can_be_held else None

    def take(self, wait_seconds: float, nobody_else_here: bool) -> None:
        """Take the output.

        Args:
            wait_seconds: for which a run that holds it is waited for.
            nobody_else_here: whether a lock says that no other run holds it; one that died a
                moment ago is waited for then, until its lease has lapsed.

        Raises:
            Busy: if another run holds it, or did a moment ago.
            OSError: if it cannot be found out.
        """
        if self._file is None:
            log.warning(
                "%s: no lease can be kept on %s: do not start two runs on one output there",
                *(self._name, self._output.filesystem.type_name),
            )
            return
        if self._end.is_set():
            self._begin()  # it held the output before
        began = time.monotonic()
        unchanged_since, seen = began, None
        try:
            read_current(self._file)
        except PassingError:
            raise
        except OSError as error:
            if self._output.is_local:
                raise
            self._file = None
            log.warning(
                "%s: no lease can be kept there (%s): do not start two runs on one output",
                *(self._name, first_line(error)),
            )
            return
        while True:
            current, version = read_current(self._file)
            if version != seen:
                unchanged_since, seen = time.monotonic(), version
            holder = current.holder
            if holder is None or _lapsed(holder, time.monotonic() - unchanged_since):
                if self._swapped(replace(current, number=current.number + 1), version):
                    break
            else:
                patience = wait_seconds
                if nobody_else_here or not -_CLOCKS_SECONDS < holder.age_seconds < holder.seconds:
                    # It seems to be dead; whether it is, is seen within the time of one lease.
                    patience = max(patience, holder.seconds + 4 * _LOOK_SECONDS)
                if time.monotonic() - began >= patience:
                    raise held(self._name, holder)
            time.sleep(_LOOK_SECONDS if holder else 0)
        _held.add(self.run)
        if not self._is_exclusive(version):
            self._let_go()  # the heartbeat alone tells there
            self._file = None
            log.warning(
                "%s: the store ignores conditions of requests (If-Match), so no lease can be "
                "kept: do not start two runs on one output there",
                self._name,
            )
            return
        self._thread.start()

    def _is_exclusive(self, former: object) -> bool:
        """Try to write as who has not seen what the file holds."""
        if self._output.is_local:
            return True
        assert self._file is not None
        for unseen in (former, {"e_tag": '"none"', "version": "1"}):
            try:
                self._file.swap(self._current.to_bytes(), unseen)
            except Conflict:
                continue
            return False
        return True

    def _swapped(self, wanted: Current, seen: object) -> bool:
        """Replace what the file says, with this run as the holder; tell whether that was done.

        Raises:
            OSError: if that is not known.
        """
        assert self._file is not None
        began = _clock()
        holder = Holder(
            run=self.run,
            writer=self.writer,
            machine=this_machine(),
            process=os.getpid(),
            ticks=start_ticks(os.getpid()),
            renewed=now(),
            seconds=self._seconds,
        )
        wanted = replace(wanted, holder=holder)
        try:
            version = self._file.swap(wanted.to_bytes(), seen)
        except Conflict:
            # The answer to an earlier attempt may have been lost on its way.
            current, version = read_current(self._file)
            if current != wanted:
                return False
        self._current, self._version, self._renewed = wanted, version, began
        return True

    def check(self) -> None:
        """Return if this run still holds the output.

        Raises:
            Busy: if another has taken it.
            OutputError: if the time is over, and the output does not let it be renewed.
        """
        if self._lost:
            raise self._lost
        # Who takes over has seen nothing new for twice as long.
        if self.can_be_held and _clock() - self._renewed >= self._seconds / 2:
            self.confirm()

    def confirm(self) -> None:
        """Do the same, having asked.

        Raises:
            Busy, OutputError: as `check`.
        """
        if not self._renewed or not self.can_be_held:
            return
        try:  # this process stood still, or the store was silent
            self._renew()
        except (OSError, ValueError) as error:
            raise OutputError(
                f"this run cannot say any longer that it goes on in {self._name}: "
                f"{first_line(error)}; the same command goes on from there"
            ) from error
        if self._lost:
            raise self._lost

    @property
    def is_lost(self) -> bool:
        """Whether another run is known to have taken the output."""
        return self._lost is not None

    def publish(self, published: Published | None) -> None:
        """Say what is published.

        Raises:
            Busy: if another run has taken the output.
            OSError: if it cannot be written.
        """
        if not self.can_be_held:
            return
        with self._mutex:
            self.check()
            self._hold(replace(self._current, published=published))
            self.check()

    def _keep(self) -> None:
        while not self._end.wait(self._seconds / _RENEWALS) and not self._lost:
            with contextlib.suppress(OSError, ValueError):  # `check` tells, if it lasts
                self._renew()

    def _renew(self) -> None:
        with self._mutex:
            if not self._end.is_set():
                self._hold(self._current)

    def _hold(self, wanted: Current) -> None:
        """Write that this run goes on, or take note that it has lost the output."""
        assert self._file is not None
        if not self._swapped(wanted, self._version):
            current, version = read_current(self._file)
            if current.holder is None or current.holder.run != self.run:
                self._lost = lost(self._name, current.holder)
            elif not self._swapped(wanted, version):
                raise OSError(f"{self._output / CURRENT} changes while nobody else holds it")

    def release(self) -> None:
        """Let go of the output."""
        self._end.set()
        _held.discard(self.run)
        if self._renewed and not self._lost and self._file is not None:
            # A store that does not answer must not hold the end of the run up.
            last = threading.Thread(target=self._let_go, daemon=True)
            last.start()
            last.join(_PATIENCE_SECONDS)

    def _let_go(self) -> None:
        assert self._file is not None
        with self._mutex, contextlib.suppress(OSError, Conflict):
            self._file.swap(replace(self._current, holder=None).to_bytes(), self._version)


def _lapsed(holder: Holder, unchanged_seconds: float) -> bool:
    """Return whether a run holds an output no longer.

    Clocks may differ: of a run that cannot be seen to be dead, it counts what was seen of it here.

    Args:
        holder: the run.
        unchanged_seconds: for which it has been seen to say nothing.
    """
    if holder.is_here and not holder.lives_here:
        return True
    if holder.is_here and holder.process == os.getpid() and holder.run not in _held:
        return True
    return unchanged_seconds > holder.seconds


def _clock() -> float:
    """Return seconds that go on while this process, or the whole machine, stands still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
