"""Columns of more values than there may be groups: seen when the run is planned, or later."""

import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.summary import print_summary
from hyperdiag.statistics import group_names
from tests.run.book import KILLED

SAID = "summary.by=trade has more values in the rows that were derived than 10,000, the most for"


def _overrides(folder, *overrides, out="out", rows=1000):
    return (
        *("network=python", "network.target=tests.run.networks:wavy", "dataset=parquet"),
        *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", f"dataset.path={folder}/in"),
        *(f"dataset.shard_rows={rows}", "derivatives.method=hyperdual", "derivatives.tile=64"),
        *("derivatives.verify_rows=2", f"output.path={folder}/{out}", "cluster=inline"),
        *("network.ranges={a: [-3, 3], b: [-3, 3], c: [-3, 3]}", *overrides),
    )


def _write(path, column, values):
    """Write a file of rows with a column of values, in row groups of 1,000."""
    rng = np.random.default_rng(5)
    table = {name: rng.normal(size=len(values)) for name in ("a", "b", "c")} | {column: values}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, row_group_size=1000)


def _trades(folder, rows, shards, unique):
    """Write shards of so many rows: in some each row is a trade of its own, else there is one."""
    trades = [
        range(at * rows, (at + 1) * rows) if at in unique else [-1] * rows for at in range(shards)
    ]
    _write(folder / "in/rows.parquet", "trade", np.concatenate(trades))


def _tables(folder, out):
    return [(folder / out / f"run/{name}.parquet").read_bytes() for name in ("summary", "extremes")]


def _without_curves(content):
    table = pq.read_table(pa.BufferReader(content))
    if "statistic" not in table.column_names:
        return table
    curves = pc.match_substring_regex(table["statistic"], "^(curve|bin_count)")
    return table.filter(pc.invert(curves))


def _groups(folder, out="out"):
    return duckdb.sql(f"""
        SELECT count(DISTINCT group_name) FROM '{folder}/{out}/run/summary.parquet'
        WHERE grouped_by IS NOT NULL
    """).fetchall()[0][0]


# Planning looks at the first, the middle and the last shard.
@pytest.mark.parametrize(
    ("rows", "shards", "unique"),
    [
        pytest.param(4000, 6, {1, 2, 4}, id="of all shards", marks=pytest.mark.slow),
        pytest.param(12_000, 4, {1}, id="of a single one"),
    ],
)
def test_too_many_groups_leave_the_rows_and_their_other_statistics(
    tmp_path, configure, capsys, caplog, rows, shards, unique
):
    _trades(tmp_path, rows, shards, unique)
    derive(*configure(*_overrides(tmp_path, out="plain", rows=rows)))
    overrides = _overrides(tmp_path, "summary.by=trade", rows=rows)
    command = [sys.executable, "-c", KILLED, "work:2", *overrides]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    manifest = derive(*configure(*overrides))
    (warning,) = manifest.warnings
    assert SAID in warning
    assert [m for m in caplog.messages if SAID in m] == [warning]  # said when it showed
    print_summary(manifest, str(tmp_path / "out"))
    assert f"note: there are no statistics of groups: {SAID}" in capsys.readouterr().out
    for found, right in zip(_tables(tmp_path, "out"), _tables(tmp_path, "plain"), strict=True):
        # Curves are of all rows where there are groups: nobody knows beforehand that they go.
        kept = [_without_curves(content) for content in (found, right)]
        assert kept[0].equals(kept[1])
    both = [
        duckdb.sql(f"SELECT * FROM '{tmp_path}/{out}/data/*.parquet' ORDER BY ALL").fetchall()
        for out in ("out", "plain")
    ]
    assert len(both[0]) == rows * shards
    assert both[0] == both[1]
    assert audit(str(tmp_path / "out"), None, 10, 1).findings == []


@pytest.mark.slow
def test_too_many_groups_are_none_for_any_number_of_workers(tmp_path, configure):
    _trades(tmp_path, 4000, 6, {1, 2, 4})
    for workers in (1, 2):
        local = ("cluster=local", f"cluster.workers={workers}", "summary.by=trade")
        derive(*configure(*_overrides(tmp_path, *local, out=f"with-{workers}", rows=4000)))
    assert _tables(tmp_path, "with-1") == _tables(tmp_path, "with-2")
    statistics = [
        {path.name: path.read_bytes() for path in (tmp_path / out / "run/statistics").iterdir()}
        for out in ("with-1", "with-2")
    ]
    assert len(statistics[0]) == 6
    assert statistics[0] == statistics[1]


def test_update_that_makes_groups_few_enough_has_their_statistics(tmp_path, configure, monkeypatch):
    monkeypatch.setattr(group_names, "MOST_GROUPS", 8)
    overrides = configure(*_overrides(tmp_path, "summary.by=book", "output.mode=update"))
    for name in ("first", "second"):
        _write(tmp_path / f"in/{name}.parquet", "book", [f"{name} {at % 8}" for at in range(2000)])
        assert bool(derive(*overrides).warnings) == (name == "second")
    assert _groups(tmp_path) == 0
    (tmp_path / "in/first.parquet").unlink()
    assert derive(*overrides).warnings == ()
    assert _groups(tmp_path) == 8
    derive(*configure(*_overrides(tmp_path, "summary.by=book", out="fresh")))
    assert _tables(tmp_path, "out") == _tables(tmp_path, "fresh")


def test_too_many_groups_in_rows_here_and_there_are_refused_before_any_work(tmp_path, configure):
    _trades(tmp_path, 4000, 3, {0, 1, 2})
    overrides = _overrides(tmp_path, "summary.by=trade", rows=4000)
    said = r"summary\.by=trade: the column has more values in the rows looked at than 10,000, the"
    with pytest.raises(UsageError, match=said):
        derive(*configure(*overrides))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=said) as caught:  # all that is wrong is said at once
        derive(*configure(*overrides, "output.columns=[zzz]"))
    assert "zzz" in str(caught.value)
    # Of what is derived, there are exactly as many as there may be.
    derive(*configure(*overrides, 'dataset.filter="trade < 10000"'))
    assert _groups(tmp_path) == 10_000


def test_too_many_groups_in_the_paths_of_files_are_refused_before_any_work(
    tmp_path, configure, monkeypatch
):
    for day in range(9):
        _write(tmp_path / f"in/day={day}/rows.parquet", "trade", [1, 2])
    monkeypatch.setattr(group_names, "MOST_GROUPS", 9)
    derive(*configure(*_overrides(tmp_path, "summary.by=day")))
    assert _groups(tmp_path) == 9
    monkeypatch.setattr(group_names, "MOST_GROUPS", 8)
    with pytest.raises(
        UsageError, match=r"summary\.by=day: .* more values in the rows looked at than 8, the most"
    ):
        derive(*configure(*_overrides(tmp_path, "summary.by=day", out="other")))
