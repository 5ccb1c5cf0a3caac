"""How many shards a Parquet dataset makes, and how it keeps them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.plan.dataset import plan_parquet
from hyperdiag.run.plan.planner import check, make_plan
from tests.run.book import stamps


@pytest.fixture
def run(configure, tmp_path):
    """Configure a run over files of five columns, whose row groups have the given rows."""
    (tmp_path / "in").mkdir()

    def configured(files, *overrides):
        for number, groups in enumerate(files):
            x = np.linspace(0, 1, sum(groups))
            table = pa.table({f"x{i}": x for i in range(1, 6)} | {"row": np.arange(len(x))})
            with pq.ParquetWriter(tmp_path / f"in/{number}.parquet", table.schema) as writer:
                first = 0
                for rows in groups:
                    writer.write_table(table.slice(first, rows), row_group_size=rows)
                    first += rows
        return configure(
            *("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/in", "cluster=inline"),
            *("derivatives.method=hyperdual", "derivatives.tile=8", f"output.path={tmp_path}/out"),
            *overrides,
        )

    return configured


def _sizes(config):
    return [shard.rows for shard in make_plan(config).plan.shards()]


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        ([[100_000]], [8192] * 12 + [1696]),  # a file that pandas wrote
        ([[5000, 40_000, 5000]], [5000] + [8192] * 4 + [7232, 5000]),
        ([[16_383]], [16_383]),  # as one batch more: not worth two shards
        ([[5000] * 4], [10_000, 10_000]),
    ],
)
def test_row_groups_are_split_where_they_are_large_beside_what_workers_need(run, files, sizes):
    assert _sizes(run(files)[0]) == sizes


def test_row_groups_that_keep_many_workers_busy_are_not_split(run):
    """Of a million rows each, in a dataset of a hundred of them: as release 0.1.0 did."""
    checked = check(run([[10]])[0])
    (file,) = checked.listing.files
    files = tuple(file._replace(row_group_rows=(1_000_000,) * 10) for _ in range(10))
    listing = checked.listing._replace(files=files)
    config, _ = run([[10]])
    spec = plan_parquet(config.dataset, checked.network, listing, None)
    whole = replace(spec, split_rows=None)
    shards = list(spec.source(files, "").shards())
    assert len(shards) == 100
    assert shards == list(whole.source(files, "").shards())


def test_shard_rows_holds_within_row_groups(run):
    assert _sizes(run([[100, 30, 30]], "dataset.shard_rows=40")[0]) == [40, 40, 20, 60]


def test_more_shards_than_a_plan_can_hold_are_refused(run):
    checked = check(run([[10]])[0])
    (file,) = checked.listing.files
    listing = checked.listing._replace(files=(file._replace(row_group_rows=(20_000_000,)),))
    config, _ = run([[10]], "dataset.shard_rows=1")
    with pytest.raises(UsageError, match=r"shard_rows=1 splits 20,000,000 rows into more than"):
        plan_parquet(config.dataset, checked.network, listing, None)


def test_parts_of_a_row_group_are_derived_once_each_and_resumed_alone(run, tmp_path):
    configured = run([[100, 7], [90]], "dataset.shard_rows=40", "output.provenance=true")
    assert derive(*configured).rows.derived == 197
    table = pq.read_table(tmp_path / "out/data")
    assert table["row"].to_pylist() == [*range(107), *range(90)]
    assert table["_row_index"].to_pylist() == table["row"].to_pylist()
    assert audit(str(tmp_path / "out"), None, shards=9, rows=4)[:2] == ([], [])
    before = stamps(tmp_path / "out/data")
    lost = tmp_path / "out/data/part-0000001.parquet"
    content = lost.read_bytes()
    lost.unlink()
    derive(*configured)
    assert lost.read_bytes() == content
    after = stamps(tmp_path / "out/data")
    assert {name for name in before if before[name] != after[name]} == {lost.name}


@pytest.mark.slow
def test_update_keeps_the_parts_of_unchanged_files(run, tmp_path):
    derive(*run([[100], [90]], "dataset.shard_rows=40"))
    before = stamps(tmp_path / "out/data")
    (tmp_path / "in/0.parquet").unlink()
    pq.write_table(pq.read_table(tmp_path / "in/1.parquet"), tmp_path / "in/2.parquet")
    derive(*run([], "dataset.shard_rows=40", "output.mode=update"))
    after = stamps(tmp_path / "out/data")
    kept = ["part-0000003.parquet", "part-0000004.parquet", "part-0000005.parquet"]
    assert {name: before[name] for name in kept}.items() <= after.items()
    assert len(after) == 6
    assert audit(str(tmp_path / "out"), None, shards=9, rows=0)[:2] == ([], [])


@pytest.mark.slow
def test_output_whose_plan_splits_no_row_groups_keeps_its_shards(run, tmp_path, monkeypatch):
    """As release 0.1.0 wrote them; a new file is not split either."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "hyperdiag.run.plan.planner.plan_parquet",
            lambda *given: replace(plan_parquet(*given), split_rows=None),
        )
        derive(*run([[100]], "dataset.shard_rows=40"))
    plan = json.loads((tmp_path / "out/run/plan.json").read_text())
    assert "split_rows" not in plan["settings"]["dataset"]
    before = stamps(tmp_path / "out/data")
    config, yaml = run([], "dataset.shard_rows=40")
    assert derive(config, yaml).plan == plan["digest"]
    run([[100], [90]])
    (tmp_path / "in/1.parquet").rename(tmp_path / "in/9.parquet")
    derive(*run([[100]], "dataset.shard_rows=40", "output.mode=update"))
    assert len(before) == 1
    assert len(stamps(tmp_path / "out/data")) == 2
