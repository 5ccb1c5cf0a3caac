import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.forecast.parts import bytes_again, notes_on_shards
from hyperdiag.run.forecast.probe import Shards
from hyperdiag.run.forecast.result import Estimate
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.plan.planner import make_plan

ROWS = 1000


@pytest.fixture
def planned(configure, tmp_path):
    """Plan a file of one row group, as pandas writes it."""
    rng = np.random.default_rng(0)
    table = pa.table({f"x{i}": rng.normal(size=ROWS) for i in range(1, 6)})
    pq.write_table(table, tmp_path / "rows.parquet")

    def made(*overrides):
        config, _ = configure(
            *("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/rows.parquet"),
            *("derivatives.method=hyperdual", "derivatives.tile=8", f"output.path={tmp_path}/out"),
            *overrides,
        )
        ledger = Ledger(config.output.path, make_plan(config).plan)
        ledger.look("resume")
        return config, ledger.plan, ledger.inventory

    return made


@pytest.mark.parametrize(
    ("readers", "times"),
    [
        (1, 0.0),  # one goes on where it is
        (2, 0.9),
        (15, 4.5),  # nine could save nothing: part k is read behind k others
    ],
)
def test_bytes_read_again_are_those_before_each_part(planned, tmp_path, readers, times):
    _, plan, inventory = planned("dataset.shard_rows=100")
    again = (tmp_path / "rows.parquet").stat().st_size * times
    assert bytes_again(plan, inventory, readers) == pytest.approx(again, abs=1)


def _times(*numbers):
    return [Estimate(number, False, 1.0, 1.0, None) for number in numbers]


def test_bound_of_workers_is_said_where_some_would_find_no_work(planned):
    config, plan, inventory = planned("dataset.shard_rows=100")
    shards = Shards(plan, inventory)
    assert notes_on_shards(config, plan, shards, _times(1, 2, 8), 0) == []
    again, note = notes_on_shards(config, plan, shards, _times(1, 32), 5000)
    assert "up to 5 kB of the input are read again" in again
    assert note.startswith("no more than 10 workers can be at work: there are 10 shards of up to")
    assert "a smaller dataset.shard_rows makes more" in note


def test_bound_of_workers_of_few_rows_says_that_they_are_few(planned):
    config, plan, inventory = planned()
    (note,) = notes_on_shards(config, plan, Shards(plan, inventory), _times(1, 2), 0)
    assert note.startswith("no more than 1 worker can be at work: there is 1 shard of up to 1,000")
