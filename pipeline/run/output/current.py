"""`run/current.json`: who holds an output, and which files are published in it.

One small file for both, replaced by compare and swap (`hyperdiag.data.atomic_file`): who has lost
the output can neither go on holding it nor publish anything, in one and the same request.
"""

import datetime
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import AwareDatetime, TypeAdapter

from hyperdiag.messages.validation import validated
from hyperdiag.process.proc import start_ticks


@dataclass(frozen=True)
class Holder:
    """The run that holds an output.

    Attributes:
        run: its own number, drawn at random.
        writer: of it, for messages.
        machine: see `this_machine`.
        process, ticks: its process id there, and the `start_ticks` of that.
        renewed: when it last said that it goes on.
        seconds: after which, without another word of its, the output is anybody's.
    """

    run: str
    writer: str
    machine: str
    process: int
    ticks: str
    renewed: AwareDatetime
    seconds: float

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, where it can be seen from."""
        return self.machine == this_machine()

    @property
    def lives_here(self) -> bool:
        """Whether it runs where it can be seen from."""
        try:
            return self.is_here and start_ticks(self.process) == self.ticks
        except OSError:
            return False

    @property
    def age_seconds(self) -> float:
        """Seconds since it last said that it goes on, by the clocks of its machine and of this."""
        return (now() - self.renewed).total_seconds()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on, as far as one look can tell."""
        if self.is_here and not self.lives_here:
            return False
        return self.age_seconds < self.seconds


@dataclass(frozen=True)
class Published:
    """What is published in an output.

    Attributes:
        plan: its digest.
        listing: where in the output its files are listed (see `listing`).
        folding: whether files of an update are still being put into the place of former ones.
    """

    plan: str
    listing: str
    folding: bool = False


@dataclass(frozen=True)
class Current:
    """What the file says.

    Attributes:
        number: how often the output was taken by a run.
        holder: the run that holds it; None if none does.
        published: None if nothing is.
    """

    number: int = 0
    holder: Holder | None = None
    published: Published | None = None

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        values = asdict(self)
        if self.holder:
            values["holder"]["renewed"] = self.holder.renewed.isoformat()
        return json.dumps(values, indent=1).encode()

    @staticmethod
    def from_bytes(content: bytes | None) -> "Current":
        """Return what the content of the file says; None: there is none yet.

        Raises:
            ValueError: if it is damaged.
        """
        return Current() if content is None else validated(_CURRENT, json.loads(content))


_CURRENT: TypeAdapter[Current] = TypeAdapter(Current)


def this_machine() -> str:
    """Return what tells where process ids mean the same: since this boot, in this container."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"


def now() -> datetime.datetime:
    """Return the time, in UTC."""
    return datetime.datetime.now(datetime.UTC)
