"""What Prometheus would scrape of real runs on a real cluster, beside their manifests."""

import json
import threading
import time
from collections import Counter
from contextlib import suppress
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hyperdiag.run.derive import derive
from hyperdiag.run.monitoring.metrics import COUNTERS, GAUGES
from tests.ray_head import FINDS_TESTS, free_port, ray_head


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster that passes metrics on each second, and of what it exports."""
    port = free_port()
    options = (
        *("--include-dashboard=false", f"--metrics-export-port={port}"),
        '--system-config={"metrics_report_interval_ms": 1000}',
    )
    with ray_head(*options, **FINDS_TESTS) as head:
        yield head.address, f"http://127.0.0.1:{port}/metrics"


@pytest.fixture
def run(cluster, configure, tmp_path):
    x1 = np.linspace(-1, 1, 400)
    x1[130], x1[10:13], x1[390] = 666.0, np.nan, np.inf
    table = pa.table({"x1": x1, "x2": np.arange(400) / 7.0})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)

    common = (
        *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet", "dataset.shard_rows=50"),
        *("network=python", "network.n_inputs=2", f"output.path={tmp_path}/out"),
        *("cluster=existing", f"cluster.address={cluster[0]}", "cluster.workers=2"),
        *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.verify_rows=0"),
    )

    def derived(*overrides):
        return derive(*configure(*common, *overrides))

    derived.overrides = common
    return derived


def scraped(url, run=None):
    """Return {(name, tags of interest): value}, added up over the commands of a run."""
    counts = Counter()
    with urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "hyperdiag" in sample.name and run in (None, sample.labels["run"]):
                tag = sample.labels.get("code") or sample.labels.get("stage") or ""
                counts[sample.name.removeprefix("ray_hyperdiag_"), tag] += sample.value
    return counts


def settled(url, run, shards):
    """Return what is scraped once so many shards are counted: Ray's agent takes it in late."""
    deadline = time.monotonic() + 40
    while True:
        counts = scraped(url, run)
        if counts.get(("shards_done_total", "")) == shards or time.monotonic() > deadline:
            return counts
        time.sleep(0.5)


class Watching(threading.Thread):
    """Scrapes again and again until it is told to stop; keeps what it saw."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self._url, self._over, self.seen = url, threading.Event(), []

    def run(self):
        while not self._over.wait(0.2):
            with suppress(OSError):  # the agent starts after the head
                self.seen.append(scraped(self._url))

    def stop(self):
        self._over.set()
        self.join()


@pytest.mark.slow
def test_metrics_scraped_during_a_run_and_after_it_add_up_to_the_manifest(run, cluster, tmp_path):
    killer = (
        "network.target=tests.run.networks:killer",
        f"network.kwargs={{marker: '{tmp_path}/marker'}}",
    )
    watching = Watching(cluster[1])
    watching.start()
    try:
        # The shards that were under way when the worker died wait so long, the others are done.
        first = run(*killer, "limits.retry_seconds=4")
    finally:
        watching.stop()
    during = [counts for counts in watching.seen if 0 < counts["rows_derived_total", ""] < 396]
    assert during, "nothing was seen of the run while it was at work"
    assert during[-1]["rows_planned", ""] == 400
    assert 1 <= during[-1]["workers", ""] <= 2
    assert 0 < during[-1]["kernel_share", ""] <= 1
    counts = settled(cluster[1], first.plan, shards=8)
    rows = first.rows
    assert counts["rows_read_total", ""] == rows.read == 400
    assert counts["rows_derived_total", ""] == rows.derived == 396
    codes = {tag: value for (name, tag), value in counts.items() if name.startswith("rows_quar")}
    assert codes == rows.quarantined == {"nan": 3, "infinite": 1}
    assert counts["shards_done_total", ""] == 8
    # The worker that died took with it what else it had under way.
    assert 1 <= counts["retries_total", ""] <= 3
    for stage, seconds in first.seconds.stages.items():
        assert counts["stage_seconds_total", stage] == pytest.approx(seconds, abs=2e-3)
    known = {f"{name}_total" for name in COUNTERS} | set(GAUGES)
    assert {f"hyperdiag_{name}" for name, _ in counts} <= known


@pytest.mark.chaos
def test_metrics_of_a_second_command_count_what_it_did_alone(run, cluster, hyperdiag, tmp_path):
    network = "network.target=tests.run.networks:rectified"
    for shards in (8, 10):
        done = hyperdiag("derive", *run.overrides, network)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
        counts = settled(cluster[1], manifest["plan"], shards)
        assert counts["shards_done_total", ""] == shards
        assert counts["rows_derived_total", ""] == 396 + 50 * (shards - 8)
        for shard in (3, 4):  # what is lost is done again, and nothing else counted twice
            (tmp_path / f"out/data/part-{shard:07d}.parquet").unlink()
