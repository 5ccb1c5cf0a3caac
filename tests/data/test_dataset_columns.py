"""Datasets whose files do not all have the same columns: what is used of them, and what is not."""

import logging

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from hyperdiag.data.dataset_columns import EVERY_COLUMN, UsedColumns
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.messages.errors import UsageError

X = UsedColumns({"x"}, every=False)


@pytest.fixture
def put(tmp_path):
    def written(*tables, **options):
        for number, table in enumerate(tables):
            pq.write_table(pa.table(table), tmp_path / f"{number}.parquet", **options)
        return str(tmp_path)

    return written


def _rows(path, used=EVERY_COLUMN, before=None):
    listing = list_parquet(path, used, before)
    assert listing.bad_files == ()
    source = ParquetSource(
        path=path,
        files=listing.files,
        schema=listing.schema,
        partition_keys=listing.partition_keys,
        base=listing.base,
        columns=listing.schema.names,
        row_filter=None,
        limit=None,
        shard_rows=10**9,
    )
    return pa.concat_tables(r.table for s in source.shards() for r in source.read(s, 10))


DIFFERENT = {
    "null": [pa.array([1.5]), pa.nulls(1), pa.array([2.5])],
    "text": [pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.array(["c"])],
    "views": [pa.array(["a"]), pa.array(["b"], pa.string_view()), pa.array(["c"])],
    "index width": [
        pa.array(["a"]).dictionary_encode(),
        pa.array(["b"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.array(["c"], pa.large_string()),
    ],
    "unit": [pa.array([1], pa.timestamp(unit, "UTC")) for unit in ("ms", "us", "ns")],
    "nested nullability": [
        pa.array([[1.0]], pa.list_(pa.field("element", pa.float64(), nullable=False))),
        pa.array([[None, 2.0]], pa.list_(pa.float64())),
        pa.array([[3.0]], pa.large_list(pa.float64())),
    ],
    "integers and floats": [pa.array([1]), pa.array([0.5]), pa.array([3], pa.int8())],
    "list view": [pa.array([[1.0]], pa.list_view(pa.float64())), pa.array([[2.0]]), pa.nulls(1)],
}


@pytest.mark.parametrize("kind", DIFFERENT)
@pytest.mark.parametrize("used", [X, EVERY_COLUMN], ids=["unused", "used"])
def test_columns_in_types_that_fit_together_make_one(put, kind, used):
    columns = DIFFERENT[kind]
    path = put(*({"x": [float(i)], "c": column} for i, column in enumerate(columns)))
    rows = _rows(path, used)
    assert rows["x"].to_pylist() == [0.0, 1.0, 2.0]
    if used is EVERY_COLUMN or kind not in ("unit", "integers and floats"):
        if kind != "list view":  # whose cast gives wrong values in Arrow 26.0.1
            columns = [column.cast(rows["c"].type) for column in columns]
        assert rows["c"].to_pylist() == [value for c in columns for value in c.to_pylist()]
    else:  # which may fail, and for nobody's sake
        assert rows.column_names == ["x"]


def test_unified_columns_are_those_of_polars(put):
    path = put({"a": pa.array([1], pa.int16())}, {"a": pa.array([0.5], pa.float32())})
    kinds = [pl.read_parquet(f"{path}/{i}.parquet") for i in (0, 1)]
    assert _rows(path)["a"].to_pylist() == pl.concat(kinds, how="vertical_relaxed")["a"].to_list()


ODD = {
    "text": {"x": [9.0], "c": ["nine"]},
    "absent": {"x": [9.0]},
    "one more": {"x": [9.0], "c": [1.0], "d": [1.0]},
}


@pytest.mark.parametrize("odd", ODD)
def test_file_unlike_others_in_what_nobody_asked_for_keeps_its_rows(put, odd):
    path = put({"x": [1.0], "c": [1.0]}, {"x": [2.0], "c": [2.0]}, ODD[odd])
    rows = _rows(path, X)
    assert rows["x"].to_pylist() == [1.0, 2.0, 9.0]
    others = {name: rows[name].to_pylist() for name in rows.column_names if name != "x"}
    assert (
        others
        == {
            "text": {},
            "absent": {"c": [1.0, 2.0, None]},
            "one more": {"c": [1.0, 2.0, 1.0], "d": [None, None, 1.0]},
        }[odd]
    )
    (bad,) = list_parquet(path).bad_files
    assert bad.path.endswith("2.parquet")
    assert "output.columns can leave it out" in bad.reason


def test_file_without_a_used_column_is_a_bad_file(put):
    path = put({"x": [1.0], "c": [1.0]}, {"x": [1.0], "c": [1.0]}, {"c": [1.0]})
    (bad,) = list_parquet(path, X).bad_files
    assert bad.reason == f"has no column 'x', unlike {path}/0.parquet"


def test_column_that_nobody_uses_and_cannot_be_read_whole_is_named_in_the_log(put, caplog):
    caplog.set_level(logging.INFO)
    _rows(put({"x": [1.0], "c": [1.0]}, {"x": [2.0], "c": ["one"]}), X)
    assert "column 'c' is used by nothing and not read" in caplog.text


def test_columns_of_an_earlier_run_are_kept_as_long_as_they_hold_what_is_there(put):
    path = put({"x": [1.0], "c": ["a"]})
    before = list_parquet(path, X).schema
    put({"d": [1], "x": [1.0], "c": ["a"]}, {"c": pa.array(["b"], pa.large_string()), "x": [2]})
    listing = list_parquet(path, X, before)
    assert listing.schema.equals(before.set(0, pa.field("x", pa.float64())))
    put({"c": ["a"], "x": [1.0]}, {"x": pa.array([3], pa.int32())})
    assert list_parquet(path, X, before).schema.equals(before)
    assert _rows(path, X, before).to_pylist() == [{"x": 1.0, "c": "a"}, {"x": 3.0, "c": None}]


class _NoServer(pe.KmsClient):
    """Keys that are kept nowhere."""

    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return key

    def unwrap_key(self, key, _):
        return key


def _encrypted(folder, column, plaintext_footer=True):
    keys = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": [column]}, plaintext_footer=plaintext_footer
    )
    factory = pe.CryptoFactory(_NoServer)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), keys)
    table = pa.table({"x": [3.0], "c": [4.0]})
    path = f"{folder}/9.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return path


def test_encrypted_column_that_is_used_is_a_bad_file_and_no_crash(put):
    path = put({"x": [1.0], "c": [2.0]})
    file = _encrypted(path, "x")
    for used in (X, EVERY_COLUMN):
        (bad,) = list_parquet(path, used).bad_files
        assert bad.path == file
        assert "column 'x' is encrypted" in bad.reason
    with pytest.raises(UsageError, match="column 'x' is encrypted"):
        list_parquet(file, X)


def test_encrypted_column_that_nobody_uses_is_left_out(put):
    path = put({"x": [1.0], "c": [2.0]})
    _encrypted(path, "c")
    assert _rows(path, X).to_pydict() == {"x": [1.0, 3.0]}
    (bad,) = list_parquet(path).bad_files
    assert "column 'c' is encrypted, and there is no key; output.columns can" in bad.reason


def test_file_with_an_encrypted_footer_is_a_bad_file(put):
    path = put({"x": [1.0], "c": [2.0]})
    _encrypted(path, "c", plaintext_footer=False)
    (bad,) = list_parquet(path, X).bad_files
    assert "encrypted" in bad.reason


def test_footer_longer_than_what_is_read_at_first_is_read(put):
    path = put(pa.table({"x": [1.0]}).replace_schema_metadata({"notes": "n" * (1 << 17)}))
    assert _rows(path).to_pydict() == {"x": [1.0]}
