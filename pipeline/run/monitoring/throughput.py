"""Rows and seconds of work over time, for `run/throughput.json`: a fixed number of intervals."""

import json
import logging
import time
from collections import Counter
from typing import Any

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import THROUGHPUT, write_file
from hyperdiag.messages.errors import OutputError
from hyperdiag.run.output.receipt import STAGES, Receipt

from .monitor import Listener, Snapshot

log = logging.getLogger("hyperdiag")

MOST_INTERVALS = 120  # an even number: two neighbours become one when they are full
MOST_WORKERS = 32  # that have rows of their own in the file; the others are added up
_FIRST_SECONDS = 1.0


class Throughput(Listener):
    """Adds up by interval of time what is done: rows for each worker, seconds for each stage.

    A shard counts, whole, in the interval in which it was done. Only what this command did is
    known: what earlier ones had done of the run has left no times.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._seconds = _FIRST_SECONDS  # of an interval
        self._rows: list[Counter[str]] = []
        self._stages: list[Counter[str]] = []

    def started(self, snapshot: Snapshot) -> None:
        """Let the first interval begin."""
        self._began = time.monotonic()

    def done(self, receipt: Receipt) -> None:
        """Add a shard's rows and seconds to the present interval."""
        at = int((time.monotonic() - self._began) / self._seconds)
        while at >= MOST_INTERVALS:
            self._halve()
            at //= 2
        while len(self._rows) <= at:
            self._rows.append(Counter())
            self._stages.append(Counter())
        self._rows[at][receipt.worker] += receipt.tally.read
        self._stages[at].update(receipt.seconds)

    def _halve(self) -> None:
        """Make one interval of every two."""
        self._seconds *= 2
        for intervals in (self._rows, self._stages):
            for first, second in zip(intervals[::2], intervals[1::2], strict=False):
                first.update(second)
            del intervals[1::2]

    def save(self, output: Place, plan: str) -> None:
        """Write `run/throughput.json`, if anything was done; a failure is a line in the log.

        Args:
            output: the output folder, which was just published.
            plan: the digest of its plan.
        """
        if self._rows:
            try:
                write_file(output, THROUGHPUT, json.dumps(self.to_json(plan)).encode())
            except OutputError as error:
                log.warning("%s is missing or out of date: %s", THROUGHPUT, error)

    def to_json(self, plan: str) -> dict[str, Any]:
        """Return plain values, as JSON has them.

        Args:
            plan: the digest of the plan that was worked on.

        Returns:
            `plan`; `interval_seconds`; `rows`, for each worker the rows that it read in each
            interval; `other_workers`, how many have no entry of their own there, and `other_rows`,
            theirs in each interval; `stages`, for each stage the seconds of all workers in each
            interval.
        """
        total: Counter[str] = Counter()
        for rows in self._rows:
            total.update(rows)
        shown = [worker for worker, _ in total.most_common(MOST_WORKERS)]
        others = [sum(rows.values()) - sum(rows[name] for name in shown) for rows in self._rows]
        return {
            "plan": plan,
            "interval_seconds": self._seconds,
            "rows": {worker: [rows[worker] for rows in self._rows] for worker in sorted(shown)},
            "other_workers": len(total) - len(shown),
            "other_rows": others,
            "stages": {
                stage: [round(seconds[stage], 3) for seconds in self._stages] for stage in STAGES
            },
        }
