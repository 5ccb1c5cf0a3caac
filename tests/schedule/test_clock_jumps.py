"""A scheduler whose clock jumps, by libfaketime; and a real Prometheus that is told of it."""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.ray_head import free_port

from .nightly import Nightly, finished, wait

pytestmark = pytest.mark.chaos
needs_faketime = pytest.mark.skipif(not shutil.which("faketime"), reason="no faketime here")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus here")
RULES = Path(__file__).parents[2] / "deploy/prometheus/alerts.yml"
DAY = 86400


class Clock:
    """A clock that can be set, for whatever is started from now on.

    The kernel's clocks that nobody can set go on as they do.
    """

    def __init__(self, folder, monkeypatch):
        self._file = folder / "clock"
        self.set(0)
        shown = finished(["faketime", "-f", "+0", "env"]).stdout.splitlines()
        (library,) = [line for line in shown if line.startswith("LD_PRELOAD=")]
        monkeypatch.setenv("LD_PRELOAD", library.partition("=")[2])
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")

    def set(self, seconds):
        """Set it so many seconds ahead, or back."""
        self.ahead = seconds
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.rename(self._file)

    def now(self):
        return time.time() + self.ahead


@pytest.fixture
def clock(tmp_path, monkeypatch):
    return Clock(tmp_path, monkeypatch)


@needs_faketime
@pytest.mark.parametrize("days", [400, -400])
def test_entry_is_served_through_jumps_of_the_clock_both_ways(days, clock, tmp_path):
    nightly = Nightly(tmp_path, "every: 5s", "missed: latest")
    nightly.grow()

    def served_since(moment):
        """Return whether a run began and ended well after a moment, by the clock of now."""
        return [r for r in nightly.ended() if moment < r["tick"] <= clock.now() and not r["code"]]

    with nightly.scheduler() as scheduler:
        wait(lambda: served_since(clock.now() - 60), seconds=150, why=nightly.log)
        for ahead in (days * DAY, 0):
            clock.set(ahead)
            began = clock.now()
            wait(lambda: served_since(began), seconds=150, why=nightly.log)  # noqa: B023
        scheduler.terminate()
        scheduler.wait(60)
    assert nightly.derived() == nightly.expected
    assert nightly.log().count("the clock was ahead: next was ") == 1
    # The flood of 400 days, at one each five seconds, was cut off.
    assert len(nightly.history()) < 11_000


@needs_faketime
@needs_prometheus
def test_prometheus_tells_of_a_night_that_never_ran(clock, tmp_path):
    nightly = Nightly(tmp_path, "cron: 30 2 * * *", "missed: skip", "deadline_seconds: 3600")
    clock.set(-2 * DAY)
    with nightly.scheduler() as scheduler:  # it is kept since two days ago
        wait(lambda: "next at" in nightly.log(), why=nightly.log)
        scheduler.terminate()
        scheduler.wait(60)
    clock.set(0)
    listed = json.loads(finished(nightly.command("action=list", "format=json")).stdout)
    (entry,) = listed["entries"]
    tick = datetime.fromisoformat(entry["overdue"]["tick"])
    assert 3600 <= (datetime.now(UTC) - tick).total_seconds() < DAY + 3600
    assert "(no scheduler was at work; none succeeded yet)" in entry["overdue"]["text"]

    metrics, port = free_port(), free_port()
    (tmp_path / "alerts.yml").write_text(RULES.read_text().replace("for: 1m", "for: 1s"))
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [alerts.yml]\n"
        "scrape_configs:\n"
        "  - job_name: hyperdiag-schedule\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]\n"
    )

    def firing():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts") as answer:
                alerts = json.load(answer)["data"]["alerts"]
        except OSError:  # it is starting
            return []
        return [each["labels"] for each in alerts if each["state"] == "firing"]

    real = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    prometheus = subprocess.Popen(
        [
            *("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        cwd=tmp_path,
        env=real,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with nightly.scheduler(f"schedule.metrics=127.0.0.1:{metrics}") as scheduler:
            (alert,) = wait(firing, seconds=150, why=nightly.log)
            assert (alert["alertname"], alert["entry"]) == ("HyperdiagNightNeverRan", "grow")
            nightly.grow()
            done = finished(nightly.command("action=run", "entry=grow"), env=real)
            assert done.returncode == 0, done.stderr
            wait(lambda: not firing(), why=nightly.log)
            wait(lambda: "grow: overdue no more" in nightly.log(), why=nightly.log)
            scheduler.terminate()
            scheduler.wait(60)
    finally:
        prometheus.terminate()
        prometheus.wait(60)
