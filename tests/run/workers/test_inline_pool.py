import threading
import time

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.output.receipt import Failed, Receipt
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.inline_pool import InlinePool


@pytest.fixture
def opened(configure, tmp_path):
    """Return a pool over eight shards of 100 rows, and what writes their rows."""
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.uniform(1, 2, 800), "b": rng.uniform(1, 2, 800)})
    (tmp_path / "rows").mkdir()
    for part in range(8):
        rows = table.slice(100 * part, 100)
        pq.write_table(rows, tmp_path / f"rows/{part}.parquet")

    def make(in_flight, name):
        config, _ = configure(
            *("network=python", "network.target=tests.run.networks:poles"),
            *("network.inputs=[a,b]", "dataset=parquet", f"dataset.path={tmp_path}/rows"),
            *("dataset.shard_rows=100", "derivatives.batch=32", "limits.retry_seconds=0"),
            *(f"output.path={tmp_path}/{name}", "derivatives.method=hyperdual"),
            *("cluster=inline", f"cluster.shards_in_flight={in_flight}"),
        )
        plan = make_plan(config).plan
        for folder in ("data", "quarantine", "run/scratch", "run/statistics"):
            (tmp_path / name / folder).mkdir(parents=True)
        pool = InlinePool(config.cluster, config.limits, plan, config.output.path)
        pool.start()
        return pool, list(plan.shards())

    return make


def _written(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def test_shards_at_a_time_do_not_change_what_is_written(opened, tmp_path):
    for in_flight, name in ((1, "single"), (4, "four")):
        pool, shards = opened(in_flight, name)
        receipts = [outcome for outcome in pool.outcomes(shards) if outcome is not None]
        assert sorted(receipt.shard for receipt in receipts) == [shard.id for shard in shards]
        assert pool.rows_under_way() == 0
    assert len(_written(tmp_path / "single")) == 8
    assert _written(tmp_path / "single") == _written(tmp_path / "four")


def test_several_shards_are_under_way_and_batches_take_turns(opened):
    pool, shards = opened(3, "out")
    worker = pool._worker
    compute, active, most, under_way = worker.kernel.function, [], [], []

    def observed(points):
        active.append(1)
        most.append(len(active))
        under_way.append(len(worker.under_way()))
        time.sleep(0.002)
        results = jax.block_until_ready(compute(points))
        active.pop()
        return results

    worker.kernel.function = observed
    assert sum(isinstance(outcome, Receipt) for outcome in pool.outcomes(shards)) == 8
    assert max(under_way) == 3
    assert max(most) == 1  # on a CPU; a GPU has two


def test_who_takes_no_more_outcomes_leaves_nothing_under_way(opened, tmp_path):
    pool, shards = opened(4, "out")
    outcomes = pool.outcomes(shards)
    assert isinstance(next(outcome for outcome in outcomes if outcome), Receipt)
    outcomes.close()
    assert pool._worker.under_way() == {}
    assert not list((tmp_path / "out/run/scratch").iterdir())
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]
    # The pool takes up what is left.
    assert sum(isinstance(outcome, Receipt) for outcome in pool.outcomes(shards)) == 8


def test_shard_that_fails_is_tried_again_and_given_up_while_others_go_on(opened, tmp_path):
    pool, shards = opened(3, "out")
    gone = tmp_path / "rows/5.parquet"
    gone.unlink()
    outcomes = [outcome for outcome in pool.outcomes(shards) if outcome is not None]
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert failed.shard.id == 5
    assert "5.parquet is gone since the run was planned" in failed.cause
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 7
    assert pool.retries == failed.attempts - 1


def test_batches_that_wait_for_their_turn_are_not_computed_once_the_run_stops(opened):
    pool, shards = opened(4, "out")
    compute, computed = pool._worker.kernel.function, []

    def slow(points):
        computed.append(1)
        time.sleep(0.2)
        return compute(points)

    pool._worker.kernel.function = slow
    outcomes = pool.outcomes(shards)
    assert next(outcomes) is None  # while they compute
    before = len(computed)
    outcomes.close()
    assert len(computed) <= before + 1  # the one that began meanwhile
