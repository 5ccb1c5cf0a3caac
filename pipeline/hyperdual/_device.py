"""What a device is, and which tiles are worth timing there."""

from dataclasses import dataclass
from typing import NamedTuple

import jax

# Of a GPU that does not say how much memory it has.
_GPU_BYTES = 1 << 34


class Tiles(NamedTuple):
    """The tiles that are worth timing.

    Attributes:
        start_bytes: of J of the first one.
        most_bytes: of J of one of several rows.
        start_rows: the fewest and the most rows of the first one.
        most_rows: of any.
        timed_bytes: of J of a timed call, so that starting it does not count. On a CPU no more than
            a batch of a run has: for more than some 16 MB of results a call may get fresh pages
            from the system, which takes longer than many a kernel.
    """

    start_bytes: int
    most_bytes: int
    start_rows: tuple[int, int]
    most_rows: int
    timed_bytes: int


@dataclass(frozen=True)
class Device:
    """A device that JAX computes on.

    Attributes:
        kind: "cpu"; "gpu" for any other.
        memory_bytes: that JAX may take there; None where that is not known, and for CPUs.
    """

    kind: str
    memory_bytes: int | None = None

    @property
    def tiles(self) -> Tiles:
        """The tiles that are worth timing on it."""
        if self.kind == "cpu":  # J, and as much of D, should stay in a core's second-level cache
            return Tiles(1 << 18, 1 << 28, (1, 2048), 1 << 16, 1 << 22)
        # Few large ones, which keep all its cores busy: J goes through its memory in any case, and
        # to start the steps of a small tile would take longer than to compute them. A program holds
        # about a dozen arrays of this size, and the results of the last call are there, too.
        memory = self.memory_bytes or _GPU_BYTES
        return Tiles(memory >> 9, memory >> 5, (64, 1 << 18), 1 << 18, 1 << 24)


def this_device() -> Device:
    """Return the device that JAX computes on here."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return Device("cpu")
    return Device("gpu", (device.memory_stats() or {}).get("bytes_limit"))
