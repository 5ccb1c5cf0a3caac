"""What this command did of a run, added up for the manifest."""

import time

from hyperdiag.run.output.manifest import Work
from hyperdiag.run.output.receipt import Receipt

from .monitor import Listener, Snapshot


class Totals(Listener):
    """Adds up what is done.

    Attributes:
        work: the sums; those of no work at all until `started`.
    """

    def __init__(self) -> None:
        self.work = Work()

    def started(self, snapshot: Snapshot) -> None:
        """Keep how many workers there are, and how long they took to start."""
        self._began = time.monotonic()
        self.work.workers, self.work.start_seconds = snapshot.workers, snapshot.start_seconds

    def done(self, receipt: Receipt) -> None:
        """Add a shard's rows and seconds."""
        self.work.add(receipt)

    def ended(self) -> None:
        """Keep how long the work took."""
        if self.work.workers:
            self.work.seconds = time.monotonic() - self._began
