"""Metrics of a run on a cluster: Ray's agent on the driver's node serves them to Prometheus.

The driver alone emits: it has each shard's receipt once, however often the shard was tried, so what
is counted is what was written. Ray sends on what is new every ten seconds and when the driver
leaves the cluster; counters stay with the agent after that, gauges for another twenty seconds. So
the counters of all commands that worked on a run add up to its manifest, each in a process of
its own: Ray 2.60.0 may report twice what the second run of one process counts.

Of how long things take there are seconds in counters, by stage, and no histogram: Ray 2.60.0 passes
on a histogram's buckets alone, from which its sum comes back as a guess.
"""

from collections import Counter as Counts
from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Counter, Gauge

from hyperdiag.run.output.receipt import Failed, Receipt

from .monitor import Listener, Snapshot

_TAGS = ("run", "network")

# As Prometheus gets to see them: "ray_" before each, and "_total" after a counter.
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "hyperdiag_rows_read": ("Rows read from the dataset", ()),
    "hyperdiag_rows_derived": ("Rows written to data files", ()),
    "hyperdiag_rows_filtered": ("Rows that the row filter left out", ()),
    "hyperdiag_rows_quarantined": ("Rows in quarantine, by code", ("code",)),
    "hyperdiag_shards_done": ("Shards done", ()),
    "hyperdiag_shards_failed": ("Shards given up", ()),
    "hyperdiag_retries": ("Attempts at shards that failed and were put back", ()),
    "hyperdiag_stage_seconds": ("Seconds of work on shards, by stage", ("stage",)),
}
GAUGES: Mapping[str, str] = {
    "hyperdiag_rows_planned": "Rows of the whole run",
    "hyperdiag_rows_done": "Rows that are done of it, by whichever command",
    "hyperdiag_rows_before": "Rows that earlier commands had done of it",
    "hyperdiag_shards_planned": "Shards of the whole run",
    "hyperdiag_shards_before": "Shards that earlier commands had done of it",
    "hyperdiag_workers": "Workers that are ready",
    "hyperdiag_kernel_share": "Seconds of the kernels over those of the workers, since the start",
}


class Metrics(Listener):
    """What one command does of a run, in Ray's metrics.

    Args:
        run: digest of its plan.
        network: that it derives.
    """

    def __init__(self, run: str, network: str):
        self._tags = {"run": run, "network": network}
        self._counters: dict[str, Any] = {}
        self._gauges: dict[str, Any] = {}
        self._new: Counts[tuple[str, tuple[tuple[str, str], ...]]] = Counts()
        self._retries = 0
        self._seconds = self._worker_seconds = self._kernel_seconds = 0.0

    def started(self, snapshot: Snapshot) -> None:
        """Register the metrics, now that this process is connected to a cluster."""
        for name, (description, more) in COUNTERS.items():
            self._counters[name] = Counter(name, description, (*_TAGS, *more))
        for name, description in GAUGES.items():
            self._gauges[name] = Gauge(name, description, _TAGS)
        for metric in (*self._counters.values(), *self._gauges.values()):
            metric.set_default_tags(self._tags)

    def done(self, receipt: Receipt) -> None:
        """Count a shard, its rows and the seconds that they took."""
        tally = receipt.tally
        self._count("shards_done", 1)
        self._count("rows_read", tally.read)
        self._count("rows_derived", tally.derived)
        self._count("rows_filtered", tally.filtered)
        for code, rows in tally.quarantined.items():
            self._count("rows_quarantined", rows, code=code)
        for stage, seconds in receipt.seconds.items():
            self._count("stage_seconds", seconds, stage=stage)
        self._kernel_seconds += receipt.seconds["compute"]

    def failed(self, failed: Failed) -> None:
        """Count a shard that was given up."""
        self._count("shards_failed", 1)

    def tick(self, snapshot: Snapshot) -> None:
        """Tell Ray what is new, retries too; set the gauges, which it forgets if nobody does."""
        self._worker_seconds += snapshot.workers * (snapshot.seconds - self._seconds)
        self._seconds = snapshot.seconds
        gauges = {
            "rows_planned": snapshot.rows,
            "rows_before": snapshot.rows_before,
            "shards_planned": snapshot.shards,
            "shards_before": snapshot.shards_before,
            "rows_done": snapshot.rows_done,
            "workers": snapshot.workers,
            "kernel_share": (
                self._kernel_seconds / self._worker_seconds if self._worker_seconds else 0.0
            ),
        }
        for name, value in gauges.items():
            self._gauges[f"hyperdiag_{name}"].set(value)
        self._count("retries", snapshot.retries - self._retries)
        self._retries = snapshot.retries
        for (name, tags), amount in self._new.items():
            if amount > 0:  # Ray 2.60.0 refuses to add zero
                self._counters[f"hyperdiag_{name}"].inc(amount, dict(tags))
        self._new.clear()

    def _count(self, name: str, amount: float, **tags: str) -> None:
        """Keep what is to be added: a dozen counters for each shard would be a burden to Ray."""
        self._new[name, tuple(tags.items())] += amount  # type: ignore[assignment]
