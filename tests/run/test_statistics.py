"""Statistics of a run's rows, against DuckDB on all that it wrote, and whatever dies meanwhile."""

import json
import math
import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.messages.errors import RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.summary import print_summary
from hyperdiag.statistics import packed
from hyperdiag.statistics.table import LEVELS

from .book import KILLED

INPUTS, OUTPUTS, ROWS = ["a", "b", "c"], ["u", "v", "w"], 3000
WHOLE = ("run/summary.parquet", "run/extremes.parquet")


@pytest.fixture
def rows(tmp_path):
    """Two files, some of whose rows are bad."""
    rng = np.random.default_rng(5)
    for name in ("first", "second"):
        table = {each: rng.normal(size=ROWS) for each in INPUTS}
        table["a"][:7] = np.nan
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(pa.table(table), tmp_path / f"in/{name}.parquet", row_group_size=500)
    return tmp_path


def _overrides(folder, *overrides, out="out"):
    return (
        *("network=python", "network.target=tests.run.networks:wavy", "dataset=parquet"),
        *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", f"dataset.path={folder}/in"),
        *("dataset.shard_rows=1000", "derivatives.method=hyperdual", "derivatives.tile=64"),
        *("derivatives.batch=256", "output.provenance=true", f"output.path={folder}/{out}"),
        *("cluster=inline", *overrides),
    )


def _summary(folder, out="out"):
    keys = ("quantity", "output", "input", "statistic", "position")
    table = pq.read_table(folder / out / "run/summary.parquet").to_pylist()
    return {tuple(row[key] for key in keys): row["value"] for row in table}


def _bytes(folder, out="out"):
    return [(folder / out / name).read_bytes() for name in WHOLE]


def _column(quantity, output, name):
    """Return the number as DuckDB is to read it; inputs are float32 for the network."""
    return {
        "input": f"{name}::FLOAT",
        "value": output,
        "jacobian": f"d_{output}__d_{name}",
        "hessian_diag": f"d2_{output}__d2_{name}",
    }[quantity]


def _of(folder, number):
    """Return what DuckDB says of a number of all rows in the data files."""
    quantiles = ", ".join(f"quantile_disc(x, {level})" for level in LEVELS)
    return duckdb.sql(f"""
        SELECT count(*), avg(x), stddev_pop(x), avg(x * x), min(x), max(x),
               avg((x > 0)::INT), avg((x < 0)::INT), {quantiles}
        FROM (SELECT ({number})::DOUBLE AS x FROM '{folder}/out/data/*.parquet')
    """).fetchall()[0]


def _check(folder):
    """Compare every statistic but curves and bounds with DuckDB's."""
    found = _summary(folder)
    names = {key[:3] for key in found if key[3] == "count"}
    assert len(names) == len(INPUTS) + len(OUTPUTS) * (1 + 2 * len(INPUTS))
    statistics = ("count", "mean", "deviation", "mean_square", "minimum", "maximum")
    for each in names:
        right = _of(folder, _column(*each))
        for statistic, value in zip((*statistics, "positive", "negative"), right, strict=False):
            assert found[*each, statistic, None] == pytest.approx(value, rel=1e-9), each
        for level, value in zip(LEVELS, right[8:], strict=True):
            assert found[*each, "quantile", level] == pytest.approx(value, rel=0.008), each


def test_every_statistic_is_what_duckdb_makes_of_the_rows(rows, configure):
    manifest = derive(*configure(*_overrides(rows)))
    assert manifest.rows.quarantined == {"nan": 14}
    _check(rows)
    assert audit(str(rows / "out"), None, 10, 1).findings == []


def test_most_extreme_rows_are_those_that_duckdb_sorts_first(rows, configure):
    derive(*configure(*_overrides(rows, "summary.extreme_rows=5")))
    for end, order in (("largest", "DESC"), ("smallest", "ASC")):
        right = duckdb.sql(f"""
            SELECT v, {SOURCE_FILE}, {ROW_INDEX} FROM '{rows}/out/data/*.parquet'
            ORDER BY v {order} LIMIT 5
        """).fetchall()
        assert (
            right
            == duckdb.sql(f"""
            SELECT value::FLOAT, source_file, row_index FROM '{rows}/out/run/extremes.parquet'
            WHERE quantity = 'value' AND output = 'v' AND extreme = '{end}' ORDER BY rank
        """).fetchall()
        )
    ((point, inputs),) = duckdb.sql(f"""
        SELECT point, [a, b, c] FROM '{rows}/out/run/extremes.parquet'
        JOIN '{rows}/out/data/*.parquet'
        ON source_file = {SOURCE_FILE} AND row_index = {ROW_INDEX}
        WHERE quantity = 'value' AND output = 'w' AND extreme = 'largest' AND rank = 1
    """).fetchall()
    assert point == pytest.approx(inputs, rel=1e-7)


def test_number_of_workers_and_of_files_in_flight_is_not_seen(rows, configure):
    derive(*configure(*_overrides(rows)))
    for workers in (1, 2):
        local = ("cluster=local", f"cluster.workers={workers}")
        derive(*configure(*_overrides(rows, *local, out=f"with-{workers}")))
        assert _bytes(rows, f"with-{workers}") == _bytes(rows)


@pytest.mark.parametrize("deaths", [["work:2"], ["work:1", "work:3", "work:1"]])
def test_killed_run_ends_with_the_same_statistics(rows, configure, deaths):
    derive(*configure(*_overrides(rows, out="undisturbed")))
    overrides = _overrides(rows)
    for death in deaths:
        command = [sys.executable, "-c", KILLED, death, *overrides]
        assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    derive(*configure(*overrides))
    assert _bytes(rows) == _bytes(rows, "undisturbed")


def test_stopped_run_goes_on_from_the_statistics_in_its_journal(rows, configure):
    """Those in the files are not read again."""
    with pytest.raises(RunIncomplete):
        derive(*configure(*_overrides(rows, "limits.max_bad_fraction=0")))
    for path in (rows / "out/run/statistics").iterdir():
        path.write_bytes(b"")
    derive(*configure(*_overrides(rows)))
    _check(rows)


@pytest.mark.parametrize("harm", ["gone", "damaged", "of another shard"])
def test_shard_whose_statistics_are_lost_is_derived_again(rows, configure, harm):
    derive(*configure(*_overrides(rows)))
    right = _bytes(rows)
    first, second, *_ = sorted((rows / "out/run/statistics").iterdir())
    if harm == "gone":
        first.unlink()
    else:
        first.write_bytes(second.read_bytes() if harm == "of another shard" else b"damaged")
    found = audit(str(rows / "out"), None, 0, 0).findings
    assert len(found) == 1
    assert str(first.relative_to(rows / "out")) in found[0]
    if harm != "gone":
        assert found[0].endswith("without it, the same command as before makes it again")
        first.unlink()
    before = first.with_name("part-0000000.parquet")
    before = rows / "out/data" / before.name
    written = before.stat().st_mtime_ns
    derive(*configure(*_overrides(rows)))
    assert before.stat().st_mtime_ns > written
    assert _bytes(rows) == right
    assert audit(str(rows / "out"), None, 10, 1).findings == []


@pytest.mark.parametrize("journal", [True, False])
def test_shards_whose_statistics_are_of_another_release_are_derived_again(
    rows, configure, caplog, journal
):
    with pytest.MonkeyPatch.context() as before:
        before.setattr(packed, "_FORMAT", b"hds0")
        derive(*configure(*_overrides(rows)))
    of_another = "is of another release: the same command as before derives it again"
    assert sum(of_another in each for each in audit(str(rows / "out"), None, 10, 1).findings) == 6
    if not journal:
        shutil.rmtree(rows / "out/run/journal")
    caplog.clear()
    derive(*configure(*_overrides(rows)))
    assert (
        caplog.messages.count("statistics of another release: their shards are derived again") == 1
    )
    assert audit(str(rows / "out"), None, 10, 1).findings == []
    derive(*configure(*_overrides(rows, out="anew")))
    assert _bytes(rows) == _bytes(rows, "anew")


@pytest.mark.parametrize("name", WHOLE)
def test_verify_says_which_table_is_not_what_the_shards_add_up_to(rows, configure, name):
    derive(*configure(*_overrides(rows)))
    path = rows / "out" / name
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    (finding,) = audit(str(rows / "out"), None, 0, 0).findings
    assert finding.startswith(f"{name} is not what the statistics of the shards add up to; ")
    path.unlink()
    derive(*configure(*_overrides(rows)))
    assert audit(str(rows / "out"), None, 0, 0).findings == []


def test_update_has_the_statistics_of_the_files_as_they_are(rows, configure):
    derive(*configure(*_overrides(rows)))
    (rows / "in/first.parquet").unlink()
    third = pa.table({each: np.random.default_rng(6).normal(size=900) for each in INPUTS})
    pq.write_table(third, rows / "in/third.parquet")
    derive(*configure(*_overrides(rows, "output.mode=update")))
    assert _summary(rows)["value", "u", None, "count", None] == ROWS - 7 + 900
    _check(rows)
    assert audit(str(rows / "out"), None, 10, 1).findings == []
    shards = {path.stem for path in (rows / "out/data").iterdir()}
    assert {path.stem for path in (rows / "out/run/statistics").iterdir()} == shards


def test_rows_may_be_left_out_and_their_statistics_are_the_same(rows, configure, capsys):
    derive(*configure(*_overrides(rows)))
    manifest = derive(*configure(*_overrides(rows, "summary.only=true", out="only")))
    assert _bytes(rows, "only") == _bytes(rows)
    assert manifest.rows.derived == 2 * ROWS - 14
    assert duckdb.sql(f"SELECT count(*) FROM '{rows}/only/data/*.parquet'").fetchall() == [(0,)]
    quarantine = f"SELECT count(*) FROM '{rows}/only/quarantine/*.parquet'"
    assert duckdb.sql(quarantine).fetchall() == [(14,)]
    report = audit(str(rows / "only"), None, 10, 4)
    assert report.findings == []
    assert report.notes == ["no rows were written (summary.only): there are none to compare"]
    manifest_file = json.loads((rows / "only/run/manifest.json").read_text())
    assert manifest_file["writes_no_rows"] is True
    print_summary(manifest, str(rows / "only"))
    assert "data/        no rows, as summary.only asks for" in capsys.readouterr().out


def test_without_statistics_a_run_is_as_before(rows, configure):
    manifest = derive(*configure(*_overrides(rows, "summary.enabled=false")))
    assert not any((rows / "out" / name).exists() for name in WHOLE)
    assert list((rows / "out/run/statistics").iterdir()) == []
    assert "summary" not in json.loads((rows / "out/run/plan.json").read_text())["settings"]
    # And an output without them goes on without them, unless they are asked for.
    assert derive(*configure(*_overrides(rows))).plan == manifest.plan
    with pytest.raises(UsageError, match=r"summary\.enabled was false, now is true"):
        derive(*configure(*_overrides(rows, "summary.enabled=true")))


def test_nothing_to_write_is_refused(rows, configure):
    with pytest.raises(UsageError, match=r"summary\.only=true and summary\.enabled=false"):
        derive(*configure(*_overrides(rows, "summary.only=true", "summary.enabled=false")))


@pytest.mark.parametrize("layout", ["wide", "tensor"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layout_and_dtype_of_the_output_do_not_matter(rows, configure, layout, dtype):
    options = (f"output.layout={layout}", f"derivatives.dtype={dtype}")
    derive(*configure(*_overrides(rows, *options)))
    found = _summary(rows)
    files = sorted((rows / "out/data").iterdir())
    if layout == "tensor":
        tables = [pq.read_table(path) for path in files]
        jacobian = [np.stack(table["jacobian"].to_numpy()) for table in tables]
        jacobian = np.array([[list(row) for row in part] for parts in jacobian for part in parts])
        x = jacobian[:, 1, 2].astype(float)
    else:
        x = pa.concat_tables([pq.read_table(p) for p in files])["d_v__d_c"].to_numpy().astype(float)
    for statistic, right in (("mean", x.mean()), ("deviation", x.std()), ("maximum", x.max())):
        assert found["jacobian", "v", "c", statistic, None] == pytest.approx(right, rel=1e-12)


def _with_desks(folder):
    rng = np.random.default_rng(8)
    for path in sorted((folder / "in").iterdir()):
        table = pq.read_table(path)
        desks = rng.choice(["rates", "fx", "", None, "null"], table.num_rows).tolist()
        table = table.append_column("desk", pa.array(desks, pa.string()))
        days = rng.choice([20260101, 20260102], table.num_rows)
        pq.write_table(table.append_column("day", pa.array(days)), path, row_group_size=500)


@pytest.mark.parametrize("by", ["desk", "day"])
def test_statistics_of_groups_are_what_duckdb_makes_of_each(rows, configure, by):
    _with_desks(rows)
    # The column need not pass through.
    derive(*configure(*_overrides(rows, f"summary.by={by}", "output.columns=none")))
    derive(*configure(*_overrides(rows, out="joined")))
    summary = f"'{rows}/out/run/summary.parquet'"
    for number, where in (
        ("a::FLOAT", "quantity = 'input' AND input = 'a'"),
        ("w", "quantity = 'value' AND output = 'w'"),
        ("d2_u__d2_c", "quantity = 'hessian_diag' AND output = 'u' AND input = 'c'"),
    ):
        found = duckdb.sql(f"""
            PIVOT (FROM {summary} WHERE grouped_by = '{by}' AND {where})
            ON statistic IN (count, mean, deviation, mean_square, minimum, maximum,
                             positive, negative)
            USING first(value) GROUP BY group_name
        """).fetchall()
        right = duckdb.sql(f"""
            SELECT {by}::VARCHAR, count(*), avg(x), stddev_pop(x), avg(x * x), min(x), max(x),
                   avg((x > 0)::INT), avg((x < 0)::INT)
            FROM (SELECT *, ({number})::DOUBLE AS x FROM '{rows}/joined/data/*.parquet') GROUP BY 1
        """).fetchall()
        found, right = ({row[0]: row[1:] for row in rows} for rows in (found, right))
        assert len(right) == (5 if by == "desk" else 2)
        assert found.keys() == right.keys()
        for name, values in right.items():
            assert found[name] == pytest.approx(values, rel=1e-9), name
    whole = duckdb.sql(f"""
        SELECT value FROM {summary} WHERE grouped_by IS NULL AND statistic = 'count'
    """)
    assert set(whole.fetchall()) == {(2.0 * ROWS - 14,)}
    assert audit(str(rows / "out"), None, 10, 1).findings == []


def test_groups_are_the_same_for_any_number_of_workers_and_after_kills(rows, configure):
    _with_desks(rows)
    derive(*configure(*_overrides(rows, "summary.by=desk")))
    local = ("cluster=local", "cluster.workers=2")
    derive(*configure(*_overrides(rows, "summary.by=desk", *local, out="two")))
    overrides = _overrides(rows, "summary.by=desk", out="killed")
    command = [sys.executable, "-c", KILLED, "work:3", *overrides]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    derive(*configure(*overrides))
    assert _bytes(rows) == _bytes(rows, "two") == _bytes(rows, "killed")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("summary.by=dsek", "summary.by: the dataset has no column 'dsek' (closest: 'desk')"),
        ("summary.by=b", "summary.by: column 'b' is double; groups are told by text"),
    ],
)
def test_column_that_tells_no_groups_is_refused_before_any_work(rows, configure, option, said):
    _with_desks(rows)
    with pytest.raises(UsageError) as caught:
        derive(*configure(*_overrides(rows, option)))
    assert said in str(caught.value)
    assert not (rows / "out").exists()


def test_derived_columns_have_statistics_also_of_groups(rows, configure):
    _with_desks(rows)
    options = (
        *("derived=[delta_gamma,top]", "derived.delta_gamma.shocks={a: 0.1, b: -0.2}"),
        *("derived.top.count=2", "derived.top.deviations={a: 1, b: 1, c: 1}"),
        *("derivatives.outputs=[value]", "summary.by=desk"),
    )
    derive(*configure(*_overrides(rows, *options)))
    found = duckdb.sql(f"""
        SELECT output, group_name, value FROM '{rows}/out/run/summary.parquet'
        WHERE quantity = 'derived' AND statistic = 'mean' AND grouped_by = 'desk'
    """).fetchall()
    names = {name for name, _, _ in found}
    assert {"change1_u", "change2_w", "top_effect_v__rank_2"} <= names
    assert not any(name.startswith("top_u") for name in names)  # which are names of inputs
    for column in sorted(names):
        right = duckdb.sql(f"""
            SELECT desk, avg({column}::DOUBLE) FROM '{rows}/out/data/*.parquet' GROUP BY desk
        """).fetchall()
        groups = {group: value for name, group, value in found if name == column}
        assert groups == pytest.approx(dict(right), rel=1e-9), column
    quantiles = duckdb.sql(f"""
        SELECT value FROM '{rows}/out/run/summary.parquet'
        WHERE quantity = 'derived' AND output = 'change2_u' AND statistic = 'quantile'
        AND grouped_by IS NULL ORDER BY position
    """).fetchall()
    right = duckdb.sql(f"""
        SELECT quantile_disc(change2_u, {list(LEVELS)}) FROM '{rows}/out/data/*.parquet'
    """).fetchall()[0][0]
    assert [value for (value,) in quantiles] == pytest.approx(right, rel=0.008)


def test_extreme_rows_of_a_quarantine_have_their_first_places(rows, configure):
    derive(*configure(*_overrides(rows)))
    for path in (rows / "out/quarantine").iterdir():  # mended
        table = pq.read_table(path)
        at = table.column_names.index("a")
        pq.write_table(table.set_column(at, "a", pa.array([0.5] * table.num_rows)), path)
    again = ("dataset=quarantine", f"dataset.path={rows}/out", "limits.max_bad_fraction=1")
    derive(*configure(*_overrides(rows, *again, out="again")))
    ((joined,),) = duckdb.sql(f"""
        SELECT count(*) FROM '{rows}/again/run/extremes.parquet' JOIN '{rows}/again/data/*.parquet'
        ON source_file = {SOURCE_FILE} AND row_index = {ROW_INDEX} AND output = 'u'
        WHERE quantity = 'value' AND extreme = 'largest' AND value::FLOAT = u
    """).fetchall()
    assert joined == 10


@pytest.mark.parametrize("size", [1e170, 1e-170, 1.5e308])
def test_numbers_whose_squares_are_none_have_all_other_statistics(
    tmp_path, configure, recwarn, size
):
    """A warning of NumPy's would be an error here."""
    rng = np.random.default_rng(3)
    a = np.where(rng.uniform(size=2000) < 0.5, -1, 1) * rng.uniform(0.5, 1, 2000) * size
    columns = {"a": a, "b": rng.normal(size=2000), "c": rng.normal(size=2000)}
    desks = rng.choice(["rates", "fx"], 2000)
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table(columns | {"desk": desks}), tmp_path / "in/rows.parquet")
    options = ("derivatives.dtype=float64", "summary.by=desk", "network.target=tests.run.networks:")
    derive(*configure(*_overrides(tmp_path, options[0], options[1], f"{options[2]}scaled")))
    assert audit(str(tmp_path / "out"), None, 10, 4).findings == []
    assert [str(warning.message) for warning in recwarn] == []
    for group, rows in ((None, a), ("fx", a[desks == "fx"])):
        found = dict(
            duckdb.execute(
                f"""SELECT statistic, value FROM '{tmp_path}/out/run/summary.parquet'
                WHERE quantity = 'value' AND output = 'u' AND position IS NULL
                AND group_name IS NOT DISTINCT FROM ?""",
                [group],
            ).fetchall()
        )
        assert found["count"] == rows.size
        assert (found["minimum"], found["maximum"]) == (rows.min() / 2, rows.max() / 2)
        assert (found["positive"], found["negative"]) == ((rows > 0).mean(), (rows < 0).mean())
        square = 0 if size < 1 else np.inf
        assert (found["deviation"], found["mean_square"]) == (square, square)
        if size < 1e300:  # else the sum itself may be infinite
            mean = math.fsum(rows / 2 / size) / rows.size * size
            assert found["mean"] == pytest.approx(mean, rel=1e-9)
    ((nans,),) = duckdb.sql(f"""
        SELECT count(*) FROM '{tmp_path}/out/run/summary.parquet'
        WHERE isnan(value) OR value IS NULL
    """).fetchall()
    assert nans == 0
