"""Rows and seconds over time: nothing is lost, and the file stays small however long a run is."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.run.monitoring import throughput as throughput_module
from hyperdiag.run.monitoring.throughput import MOST_INTERVALS, MOST_WORKERS, Throughput
from hyperdiag.run.output.receipt import STAGES, Receipt, Tally

from .test_progress import SNAPSHOT


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(throughput_module.time, "monotonic", lambda: clock.now)
    return clock


def _receipt(rows, worker, seconds=0.5):
    return Receipt(0, Tally(read=rows), dict.fromkeys(STAGES, seconds), worker=worker)


def test_rows_and_seconds_are_those_of_the_second_in_which_a_shard_was_done(clock):
    throughput = Throughput()
    throughput.started(SNAPSHOT)
    throughput.done(_receipt(10, "a:1"))
    clock.now += 0.9
    throughput.done(_receipt(20, "b:2"))
    clock.now += 2.0
    throughput.done(_receipt(5, "a:1"))
    assert throughput.to_json("digest") == {
        "plan": "digest",
        "interval_seconds": 1.0,
        "rows": {"a:1": [10, 0, 5], "b:2": [20, 0, 0]},
        "other_workers": 0,
        "other_rows": [0, 0, 0],
        "stages": {stage: [1.0, 0, 0.5] for stage in STAGES},
    }


def test_long_run_of_many_workers_is_told_in_few_numbers_that_add_up(clock):
    rng = np.random.default_rng(3)
    throughput = Throughput()
    throughput.started(SNAPSHOT)
    times = np.sort(rng.uniform(0, 5000, 4000))
    rows = rng.integers(1, 100, 4000)
    workers = [f"w:{number}" for number in rng.integers(0, 100, 4000)]
    for at, count, worker in zip(times, rows.tolist(), workers, strict=True):
        clock.now = 100 + at
        throughput.done(_receipt(count, worker))
    told = throughput.to_json("digest")
    seconds = told["interval_seconds"]
    assert seconds == 64
    assert len(told["other_rows"]) <= MOST_INTERVALS
    assert len(told["rows"]) == MOST_WORKERS
    assert told["other_workers"] == len(set(workers)) - MOST_WORKERS
    intervals = len(told["other_rows"])
    expected = np.bincount((times // seconds).astype(int), rows, intervals)
    assert (np.sum([*told["rows"].values(), told["other_rows"]], axis=0) == expected).all()
    of_worker = {name: rows[[w == name for w in workers]].sum() for name in told["rows"]}
    assert {name: sum(each) for name, each in told["rows"].items()} == of_worker
    assert sum(told["stages"]["read"]) == pytest.approx(0.5 * 4000)
    assert len(json.dumps(told)) < 50_000


def test_file_is_written_only_if_something_was_done(tmp_path, clock, caplog):
    (tmp_path / "run/scratch").mkdir(parents=True)
    throughput = Throughput()
    throughput.save(resolve(str(tmp_path)), "digest")
    assert not (tmp_path / "run/throughput.json").exists()
    throughput.started(SNAPSHOT)
    throughput.done(_receipt(10, "a:1"))
    throughput.save(resolve(str(tmp_path)), "digest")
    told = json.loads((tmp_path / "run/throughput.json").read_text())
    assert told == throughput.to_json("digest")
    throughput.save(resolve(str(tmp_path / "gone")), "digest")
    assert "run/throughput.json is missing or out of date: cannot write" in caplog.text
