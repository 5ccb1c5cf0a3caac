"""Rows that an earlier run quarantined, derived again once their cause is mended."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit

ADDED = ["_error_code", "_error_detail", "_source_file", "_row_index"]
# By key: the code, and where its row stands.
BAD = {5: "nan", 30: "null", 41: "overflow", 130: "infinite", 170: "out_of_range"}


@pytest.fixture
def run(tmp_path, configure):
    """Derive two files of 100 rows, five of the rows bad; then again from wherever it is said."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (200, 3))
    x[5, 0], x[41, 2], x[130, 1], x[170, 0] = np.nan, 1e300, np.inf, 1.5
    for day in (1, 2):
        folder = tmp_path / f"in/day={day}"
        folder.mkdir(parents=True)
        part = slice(100 * day - 100, 100 * day)
        columns = {name: x[part, i] for i, name in enumerate("abc")}
        table = pa.table({"key": np.arange(200)[part], **columns})
        if day == 1:
            b = [None if key == 30 else value for key, value in enumerate(x[part, 1].tolist())]
            table = table.set_column(2, "b", pa.array(b))
        pq.write_table(table, folder / "x.parquet", row_group_size=50)

    def derived(*overrides):
        return derive(
            *configure(
                *("cluster=inline", "network=python"),
                "network.target=tests.run.networks:wavy",
                "network.ranges={a: [0, 1], b: [0, 1], c: [0, 1]}",
                *("network.inputs=[a,b,c]", "derivatives.tile=8", "derivatives.method=hyperdual"),
                *("limits.max_bad_fraction=1", "dataset.shard_rows=50", *overrides),
            )
        )

    derived(
        *("dataset=parquet", f"dataset.path={tmp_path}/in", f"output.path={tmp_path}/first"),
        "limits.out_of_range=quarantine",
    )
    return derived


def _again(folder, of="first", to="second"):
    return ["dataset=quarantine", f"dataset.path={folder}/{of}", f"output.path={folder}/{to}"]


def _codes(folder):
    files = sorted((folder / "quarantine").iterdir())
    table = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
    assert table.column_names == ["key", "a", "b", "c", "day", *ADDED]
    return dict(zip(table["key"].to_pylist(), table["_error_code"].to_pylist(), strict=True))


def _mend(folder):
    """Write right numbers into the quarantine of an output."""
    for path in (folder / "quarantine").iterdir():
        table = pq.ParquetFile(path).read()
        for name in "abc":
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, pa.array(np.full(table.num_rows, 0.5)))
        pq.write_table(table, path)


@pytest.mark.slow
def test_rows_are_derived_again_where_a_limit_is_lifted_and_the_rest_stays(run, tmp_path):
    assert _codes(tmp_path / "first") == BAD
    manifest = run(*_again(tmp_path))
    assert manifest.rows.read == 5
    assert manifest.rows.out_of_range == 1
    found = pq.read_table(tmp_path / "second/data").to_pydict()
    assert list(found)[:7] == ["key", "a", "b", "c", "day", "_source_file", "_row_index"]
    assert (found["key"], found["day"], found["_row_index"]) == ([170], [2], [70])
    assert found["_source_file"] == [f"{tmp_path}/in/day=2/x.parquet"]
    assert _codes(tmp_path / "second") == {k: v for k, v in BAD.items() if k != 170}
    assert audit(f"{tmp_path}/second", None, 8, 4)[:2] == ([], [])


def test_rows_mended_in_the_quarantine_are_derived_and_keep_their_place(run, tmp_path):
    _mend(tmp_path / "first")
    manifest = run(*_again(tmp_path), "output.layout=tensor")
    assert manifest.rows.derived == 5
    found = pq.read_table(tmp_path / "second/data")
    assert sorted(found["key"].to_pylist()) == list(BAD)
    assert [k % 100 for k in found["key"].to_pylist()] == found["_row_index"].to_pylist()
    assert not {"_error_code", "_error_detail"} & set(found.column_names)
    assert not list((tmp_path / "second/quarantine").iterdir())


@pytest.mark.slow
def test_rows_quarantined_again_and_again_keep_their_first_place(run, tmp_path):
    run(*_again(tmp_path))
    run(*_again(tmp_path, "second", "third"))
    wanted = {k: v for k, v in BAD.items() if k != 170}
    assert _codes(tmp_path / "third") == wanted
    files = sorted((tmp_path / "third/quarantine").iterdir())
    table = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
    assert {path.rpartition("/in/")[2] for path in table["_source_file"].to_pylist()} == {
        "day=1/x.parquet",
        "day=2/x.parquet",
    }
    assert table["_row_index"].to_pylist() == [k % 100 for k in table["key"].to_pylist()]
    assert audit(f"{tmp_path}/third", None, 8, 4)[:2] == ([], [])


def test_rows_gathered_in_one_file_by_hand_are_told_apart(run, tmp_path):
    """Two of them have the same index, in two files."""
    _mend(tmp_path / "first")
    folder = tmp_path / "first/quarantine"
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.iterdir())]
    for path in folder.iterdir():
        path.unlink()
    table = pa.concat_tables(tables)
    table = table.set_column(1, "a", pa.array([0.5, np.nan, 0.5, 0.5, 0.5]))
    at = table.schema.get_field_index("_row_index")
    table = table.set_column(at, "_row_index", pa.array([5, 30, 41, 30, 70]))
    pq.write_table(table, folder / "mended.parquet")
    assert run(*_again(tmp_path)).rows.quarantined == {"nan": 1}
    assert audit(f"{tmp_path}/second", None, 8, 4)[:2] == ([], [])


def test_filter_by_code_takes_only_those_rows(run, tmp_path):
    where = "dataset.filter=\"_error_code in ('out_of_range', 'null')\""
    manifest = run(*_again(tmp_path), where)
    assert (manifest.rows.filtered, manifest.rows.derived) == (3, 1)
    assert manifest.rows.quarantined == {"null": 1}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("columns", ["all", "none", "[key]"])
def test_provenance_is_that_of_the_first_dataset(columns, run, tmp_path):
    run(*_again(tmp_path), "output.provenance=true", f"output.columns={columns}")
    found = pq.read_table(tmp_path / "second/data")
    assert found["_row_index"].to_pylist() == [70]
    assert found["_source_file"].to_pylist() == [f"{tmp_path}/in/day=2/x.parquet"]


def test_column_named_by_hand_may_be_the_former_fault(run, tmp_path):
    run(*_again(tmp_path), "output.columns=[key,_error_code]")
    found = pq.read_table(tmp_path / "second/data")
    assert found["_error_code"].to_pylist() == ["out_of_range"]


@pytest.mark.parametrize(
    ("of", "to", "message"),
    [
        ("frist", "second", "frist holds no run: there is no such folder"),
        ("first/quarantine", "second", "takes the output folder of an earlier run"),
        ("first", "first", "lies inside output.path"),
        ("first", "first/again", "lies inside dataset.path"),
        ("first", "first/quarantine/again", "lies inside dataset.path"),
    ],
)
def test_paths_that_cannot_be_are_refused(of, to, message, run, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=message):
        run(*_again(tmp_path, of, to))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_rows_that_the_run_would_clear_are_seen_through_links(run, tmp_path):
    """In mode overwrite, they would be gone before they are read."""
    (tmp_path / "latest").symlink_to("first")
    (tmp_path / "empty").mkdir()
    for name in ("beside", "other"):  # outputs by themselves, but for the rows
        (tmp_path / name / "run").mkdir(parents=True)
        shutil.copy(tmp_path / "first/run/plan.json", tmp_path / name / "run")
        (tmp_path / name / "quarantine").symlink_to(tmp_path / "first/quarantine")
    before = sorted(tmp_path.rglob("*"))
    for of, to in (
        ("latest", "first"),
        ("first", "latest"),
        ("empty/../first", "first"),
        ("first", "empty/../first"),
        ("beside", "first"),
        ("first", "other"),
    ):
        with pytest.raises(UsageError, match=r"lies inside output\.path"):
            run(*_again(tmp_path, of, to), "output.mode=overwrite")
        assert sorted(tmp_path.rglob("*")) == before, (of, to)
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(UsageError, match=r"lies inside dataset\.path"):
        run("dataset=parquet", f"dataset.path={tmp_path}/in", f"output.path={tmp_path}/link/out")


def test_output_without_quarantined_rows_is_refused(run, tmp_path):
    _mend(tmp_path / "first")
    run(*_again(tmp_path))
    with pytest.raises(UsageError, match="second has no quarantined rows: there is nothing"):
        run(*_again(tmp_path, "second", "third"))
