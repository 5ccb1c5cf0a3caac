"""The monitor: the driver's loop tells it what happens, and it tells every listener."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.receipt import Failed, Receipt

_TICK_SECONDS = 0.25  # between two ticks, however many shards are done meanwhile


@dataclass(frozen=True)
class Snapshot:
    """How far a run is at one moment.

    Attributes:
        shards: of the whole run.
        shards_before: that were done when the work began.
        shards_done: that are done now, these included.
        rows: of the whole run.
        rows_before: read in the shards that were done when the work began.
        rows_done: read in all shards that are done now.
        rows_under_way: read so far in shards that are not done.
        quarantined: rows in quarantine, by code.
        workers: that are ready.
        retries: attempts at shards that failed in this work and were put back.
        start_seconds: from the start of the run to that of the work, when workers were ready.
        seconds: of work.
    """

    shards: int
    shards_before: int
    shards_done: int
    rows: int
    rows_before: int
    rows_done: int
    rows_under_way: int
    quarantined: Mapping[str, int]
    workers: int
    retries: int
    start_seconds: float
    seconds: float

    @property
    def rows_read(self) -> int:
        """Rows read so far, in shards that are done and in those that are not."""
        return self.rows_done + self.rows_under_way

    @property
    def rows_per_s(self) -> float:
        """Rows read for each second of work."""
        return (self.rows_read - self.rows_before) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Seconds that the remaining rows need at this rate; infinite before the first row."""
        rate = self.rows_per_s
        return (self.rows - self.rows_read) / rate if rate else float("inf")


class PoolState(Protocol):
    """What the monitor reads of a pool of workers."""

    @property
    def workers(self) -> int:
        """How many are ready."""

    @property
    def retries(self) -> int:
        """How many attempts at shards failed so far and were put back."""

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""


class Listener:
    """Hears what happens while shards are derived. A method does nothing unless it is overridden.

    After `started`, `ended` is called whatever happens, even where `started` itself failed.
    """

    def started(self, snapshot: Snapshot) -> None:
        """Workers are ready, and the work begins."""

    def done(self, receipt: Receipt) -> None:
        """A shard is done and recorded."""

    def failed(self, failed: Failed) -> None:
        """A shard was given up."""

    def tick(self, snapshot: Snapshot) -> None:
        """Time has passed: a few times a second, and at the end of the work."""

    def ended(self) -> None:
        """The work is over, well or not."""


class Monitor:
    """Tells its listeners, in order, what happens to the shards of a run.

    Args:
        inventory: what is done of the run.
        rows: of the whole run.
        run_began: when the run began, on the monotonic clock.
        listeners: to tell.
    """

    def __init__(
        self, inventory: Inventory, rows: int, run_began: float, listeners: Sequence[Listener]
    ):
        self._inventory, self._rows, self._run_began = inventory, rows, run_began
        self._listeners = listeners
        self._working = False
        self._next_tick = 0.0

    def started(self, pool: PoolState) -> None:
        """Tell that the workers of a pool are ready."""
        self._pool = pool
        self._began = time.monotonic()
        self._shards_before, self._rows_before = self._inventory.count, self._inventory.tally.read
        snapshot = self._snapshot()
        for listener in self._listeners:
            listener.started(snapshot)
        self._working = True

    def done(self, receipt: Receipt) -> None:
        """Tell that a shard is done and recorded."""
        for listener in self._listeners:
            listener.done(receipt)

    def failed(self, failed: Failed) -> None:
        """Tell that a shard was given up."""
        for listener in self._listeners:
            listener.failed(failed)

    def tick(self) -> None:
        """Tell how far the run is, if that was not told just now: to be called at any time."""
        if time.monotonic() >= self._next_tick:
            self._tell()

    def _tell(self) -> None:
        self._next_tick = time.monotonic() + _TICK_SECONDS
        snapshot = self._snapshot()
        for listener in self._listeners:
            listener.tick(snapshot)

    def ended(self) -> None:
        """Tell how far the run is at the end, if it began to work, and that the work is over."""
        try:
            if self._working:
                self._tell()
        finally:
            for listener in self._listeners:
                listener.ended()

    def _snapshot(self) -> Snapshot:
        inventory, tally = self._inventory, self._inventory.tally
        return Snapshot(
            shards=inventory.shards,
            shards_before=self._shards_before,
            shards_done=inventory.count,
            rows=self._rows,
            rows_before=self._rows_before,
            rows_done=tally.read,
            rows_under_way=self._pool.rows_under_way(),
            quarantined=dict(tally.quarantined),
            workers=self._pool.workers,
            retries=self._pool.retries,
            start_seconds=self._began - self._run_began,
            seconds=time.monotonic() - self._began,
        )
