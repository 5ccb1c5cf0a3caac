"""Which rows a probe takes, how work is shared out, and that a probe leaves nothing behind."""

import tempfile
from collections import Counter

import pytest

from hyperdiag.run.forecast.forecast import Price, forecast
from hyperdiag.run.forecast.probe import Shards, busiest_rows
from hyperdiag.run.output.inventory import scan_output
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.plan.planner import make_plan

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"


@pytest.fixture
def overrides(tmp_path):
    return [
        *("network=chain", BOX, "derivatives.method=hyperdual", "derivatives.tile=8"),
        *("derivatives.batch=10", "dataset.rows=1000", "dataset.shard_rows=95"),
        *("cluster=inline", f"output.path={tmp_path}/out"),
    ]


@pytest.fixture
def shards(configure, overrides):
    """Ten shards of 95 rows and one of 50, in batches of ten."""
    config, _ = configure(*overrides)
    plan = make_plan(config).plan
    return Shards(plan, scan_output(Ledger(config.output.path, plan).output, plan))


def test_parts_lie_all_over_the_dataset(shards):
    assert (shards.total, shards.rows.tolist()) == (1000, [95] * 10 + [50])
    parts = list(shards.parts(wanted=100, number=4))
    assert [part.first_row for part in parts] == [0, 2 * 95, 5 * 95, 8 * 95]
    assert [part.rows for part in parts] == [30] * 4  # whole batches


def test_parts_are_no_larger_than_their_shards(shards):
    assert [part.rows for part in shards.parts(wanted=999, number=11)] == [95] * 10 + [50]


def test_as_many_rows_as_there_are_is_every_shard(shards):
    parts = list(shards.parts(wanted=1000, number=12))
    assert sum(part.rows for part in parts) == 1000
    assert [part.id for part in parts] == list(range(11))


def test_more_parts_than_shards_are_parts_of_the_same(shards):
    parts = list(shards.parts(wanted=220, number=22))
    assert Counter(part.id for part in parts) == Counter(dict.fromkeys(range(11), 2))
    assert {part.rows for part in parts} == {10}


@pytest.mark.parametrize(
    ("rows", "workers", "busiest"),
    [
        ([7], 3, 7),
        ([5] * 13, 2, 35),
        ([5] * 13, 13, 5),
        ([5] * 13, 100, 5),
        ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2, 9),
        ([3, 5, 2, 2], 2, 7),  # 3 and 5, then 3+2, then the second 2 to the same
    ],
)
def test_a_worker_takes_the_next_shard_once_it_is_free(rows, workers, busiest):
    assert busiest_rows(rows, workers) == busiest


@pytest.mark.slow
def test_probe_on_a_running_cluster_writes_to_its_nodes_and_clears_them(
    ray_address, configure, overrides, tmp_path, monkeypatch
):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    config, _ = configure(
        *(*overrides, "cluster=existing", f"cluster.address={ray_address}", "cluster.workers=2"),
        "dataset.rows=40000",
        "dataset.shard_rows=2000",
        "derivatives.batch=1000",
    )
    predicted = forecast(config, Price(0.5, "EUR"), 0.0)
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "out").exists()
    assert predicted.work.rows_derived == 40_000
    assert predicted.work.bytes_out == pytest.approx(33 * 4 * 40_000, rel=0.4)
    # Of another process than this one, which has Ray, JAX and the network too.
    assert 50e6 < predicted.probe.worker_bytes < 20e9
    assert [time.workers for time in predicted.times] == [1, 2, 8, 32]
    assert [time.configured for time in predicted.times] == [False, True, False, False]
    seconds = [time.seconds for time in predicted.times]
    assert seconds == sorted(seconds, reverse=True)
    around = predicted.seconds.total
    # Twenty shards: with more workers than that each has one.
    assert (seconds[0] - around) / (seconds[3] - around) == pytest.approx(20)
