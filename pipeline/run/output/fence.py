"""The fence: what a worker asks before it shows a file, and what is said of who holds an output."""

import time
from dataclasses import dataclass

from hyperdiag.data.atomic_file import AtomicFile, atomic_file
from hyperdiag.data.filesystem import Guard, Place, resolve
from hyperdiag.data.object_store.tries import PassingError
from hyperdiag.data.output_folder import CURRENT
from hyperdiag.messages.errors import Busy, OutputError, UsageError, first_line
from hyperdiag.messages.masking import masked

from .current import Current, Holder

_LOOK_SECONDS = (0.2, 1.0, 5.0)


@dataclass(frozen=True)
class Fence:
    """What a worker asks before it shows a file: whether its run still holds the output.

    Attributes:
        output: the path or URI of the output.
        run: that is to hold it.
    """

    output: str
    run: str

    def guard(self) -> Guard:
        """Return what asks: it raises Busy if another run has taken the output, or OSError."""
        place = resolve(self.output)  # once: a store's client keeps its connections
        file = atomic_file(place / CURRENT)

        def check() -> None:
            holder = read_current(file)[0].holder if file else None
            if holder is None or holder.run != self.run:
                raise lost(str(place), holder)

        return check

    def check_seen(self) -> None:
        """Check that what a worker sees at the output's path is the output that the driver has.

        Raises:
            OutputError: if this run does not hold it, in some seconds neither: some network
                filesystems show later what another machine has written.
        """
        file = atomic_file(resolve(self.output) / CURRENT)
        for pause in (*_LOOK_SECONDS, None):
            holder = read_current(file)[0].holder if file else None
            if file is None or (holder is not None and holder.run == self.run):
                return
            if pause:
                time.sleep(pause)
        raise OutputError(
            f"{masked(self.output)} is not the output of this run, seen from here: give an "
            "output.path that all nodes share"
        )


def read_current(file: AtomicFile) -> tuple[Current, object]:
    """Return what the file says, and the version of that.

    Raises:
        OSError: if it cannot be read, or is damaged.
    """
    try:
        content, version = file.read()
        return Current.from_bytes(content), version
    except ValueError as error:
        raise OSError(f"{file} is damaged ({error}); remove it") from error


def current_of(output: Place) -> Current:
    """Return what an output says of who holds it, and of what is published in it.

    Raises:
        UsageError: if it cannot be read.
    """
    file = atomic_file(output / CURRENT)
    try:
        return Current() if file is None else read_current(file)[0]
    except PassingError as error:
        raise OutputError(f"cannot read {output / CURRENT}: {first_line(error)}") from error
    except OSError as error:
        raise UsageError(f"cannot read {output / CURRENT}: {first_line(error)}") from error


def held(name: str, holder: Holder | str) -> Busy:
    """Return the error that another run holds an output."""
    lapse = ""
    if isinstance(holder, Holder):
        if not holder.is_here:
            lapse = f"; should it be dead, the output is free {holder.seconds:g} s after that"
        holder = holder.writer
    return Busy(
        f"another run is at work in output.path {name} ({holder}{lapse}): wait for it "
        "(output.wait_seconds=... does that), or give another output.path"
    )


def lost(name: str, holder: Holder | None) -> Busy:
    """Return the error that another run has taken an output over."""
    who = f" ({holder.writer})" if holder else ""
    return Busy(
        f"another run{who} has taken {name} over meanwhile: see what it does, with hyperdiag "
        "status, and start this one again if it is the right one"
    )
