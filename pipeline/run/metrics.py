"""Metrics of a run on a cluster: Ray's agent on the driver's node serves them to Prometheus.

The driver alone emits: it has each shard's receipt once, however often the shard was tried, so what
is counted is what was written. Ray sends on what is new every ten seconds and when the driver
leaves the cluster; counters stay with the agent after that, gauges for another twenty seconds. So
the counters of all commands that worked on a run add up to its manifest, each in a process of
its own: Ray may report twice what the second run of one process counts.

Of how long things take there are seconds in counters, by stage, and no histogram: Ray passes on a
histogram's buckets alone, from which its sum comes back as a guess.
"""

from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Counter, Gauge

from hyperdiag.run.output.receipt import Failed

from .output.receipt import Receipt

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


class Metrics:
    """What one command does of a run, in Ray's metrics.

    To be made in a process that is connected to a cluster.

    Args:
        run: digest of its plan.
        network: that it derives.
    """

    def __init__(self, run: str, network: str):
        tags = {"run": run, "network": network}
        self._counters: dict[str, Any] = {}
        for name, (description, more) in COUNTERS.items():
            self._counters[name] = Counter(name, description, (*_TAGS, *more))
        self._gauges = {
            name: Gauge(name, description, _TAGS) for name, description in GAUGES.items()
        }
        for metric in (*self._counters.values(), *self._gauges.values()):
            metric.set_default_tags(tags)
        self._whole: dict[str, float] = {}
        self._retries = 0

    def begin(self, rows: int, rows_before: int, shards: int, shards_before: int) -> None:
        """Say how much there is to do, and how much of it was done before."""
        self._whole = {
            "rows_planned": rows,
            "rows_before": rows_before,
            "shards_planned": shards,
            "shards_before": shards_before,
        }

    def add(self, outcome: Receipt | Failed) -> None:
        """Count a shard that was done, or given up."""
        if isinstance(outcome, Failed):
            self._count("shards_failed", 1)
            return
        tally = outcome.tally
        self._count("shards_done", 1)
        self._count("rows_read", tally.read)
        self._count("rows_derived", tally.derived)
        self._count("rows_filtered", tally.filtered)
        for code, rows in tally.quarantined.items():
            self._count("rows_quarantined", rows, code=code)
        for stage, seconds in outcome.seconds.items():
            self._count("stage_seconds", seconds, stage=stage)

    def observe(self, rows_done: int, workers: int, retries: int, kernel_share: float) -> None:
        """Say how things stand; to be called now and then, or the gauges are forgotten.

        Args:
            rows_done: of the whole run.
            workers: that are ready.
            retries: attempts that failed so far and were put back.
            kernel_share: seconds of the kernels over those of the workers.
        """
        gauges = {
            **self._whole,
            "rows_done": rows_done,
            "workers": workers,
            "kernel_share": kernel_share,
        }
        for name, value in gauges.items():
            self._gauges[f"hyperdiag_{name}"].set(value)
        self._count("retries", retries - self._retries)
        self._retries = retries

    def _count(self, name: str, amount: float, **tags: str) -> None:
        if amount > 0:  # Ray takes no zero
            self._counters[f"hyperdiag_{name}"].inc(amount, tags)
