"""Files whose bytes are damaged: named with the cause, and no row of another is touched."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.data.points import PointColumns
from hyperdiag.messages.errors import InputError, UsageError


def _source(path, **changes):
    listing = list_parquet(str(path))
    source = ParquetSource(
        path=str(path),
        files=listing.files,
        schema=listing.schema,
        partition_keys=listing.partition_keys,
        base=listing.base,
        columns=listing.schema.names,
        row_filter=None,
        limit=None,
        shard_rows=10**9,
    )
    return dataclasses.replace(source, **changes)


def _read(source, batch_rows=8):
    return [rows for shard in source.shards() for rows in source.read(shard, batch_rows)]


def test_read_damaged_page_names_the_file_the_cause_and_the_mend(tmp_path):
    path = tmp_path / "a b.parquet"
    pq.write_table(pa.table({"i": np.arange(1000)}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"{path} cannot be read: .*\n?.*mend or remove"
    ) as caught:
        _read(_source(path))
    assert isinstance(caught.value.__cause__, (pa.ArrowException, OSError))


@pytest.mark.parametrize("how", [{"use_dictionary": False}, {}, {"data_page_version": "2.0"}])
def test_read_page_unlike_its_checksum_is_refused_and_not_taken_for_numbers(how, tmp_path):
    path = tmp_path / "rows.parquet"
    table = pa.table({"x": np.arange(1000.0)})
    pq.write_table(table, path, compression="none", write_page_checksum=True, **how)
    assert sum(rows.table.num_rows for rows in _read(_source(path), 300)) == 1000
    content = path.read_bytes()
    assert content.count(np.float64(700).tobytes()) == 1
    path.write_bytes(content.replace(np.float64(700).tobytes(), np.float64(701.5).tobytes()))
    assert pq.read_table(path)["x"][700].as_py() == 701.5  # to a reader that does not look
    with pytest.raises(InputError, match=rf"{path} cannot be read: .*CRC checksum"):
        _read(_source(path))


def test_read_file_with_fewer_rows_than_planned_names_the_file_and_both_counts(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"i": range(7)}), path)
    source = _source(path)
    files = [file._replace(row_group_rows=(9,)) for file in source.files]
    with pytest.raises(InputError, match=rf"{path} cannot be read: it ends after 7 of 9 rows"):
        _read(dataclasses.replace(source, files=files))


def test_read_limit_that_ends_inside_a_file_is_no_short_file(tmp_path):
    pq.write_table(pa.table({"i": range(7)}), tmp_path / "rows.parquet")
    assert sum(rows.table.num_rows for rows in _read(_source(tmp_path, limit=3), 2)) == 3


def test_read_page_with_too_many_values_does_not_shift_the_next_row_group(tmp_path):
    schema = pa.schema([pa.field(n, k, False) for n, k in (("b", pa.bool_()), ("i", pa.int64()))])
    table = pa.table({"b": [True] * 10 + [False, True] * 10, "i": range(30)}, schema=schema)
    path = tmp_path / "rows.parquet"
    with pq.ParquetWriter(
        path, schema, use_dictionary=False, compression="none", write_statistics=False
    ) as writer:
        writer.write_table(table.slice(0, 10))
        writer.write_table(table.slice(10))
    content = path.read_bytes()
    header = b"\x2c\x15\x14"  # of the first page: 10 values; of which two bytes hold up to 16
    assert content.count(header) == 2
    path.write_bytes(content.replace(header, b"\x2c\x15\x18", 1))
    found = [value for rows in _read(_source(path)) for value in rows.table["b"].to_pylist()]
    assert found == table["b"].to_pylist()


@pytest.mark.parametrize("place", ["file", "row group"])
def test_list_footer_that_contradicts_itself_on_rows_is_a_bad_file(tmp_path, place):
    pq.write_table(pa.table({"i": range(7001)}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    count = b"\x16\xb2\x6d"  # 7001: of the file, of a column's values, of the row group
    assert content.count(count) == 3
    at = content.find(count) if place == "file" else content.rfind(count)
    (tmp_path / "b.parquet").write_bytes(content[:at] + b"\x16\xb0\x6d" + content[at + 3 :])
    (bad,) = list_parquet(str(tmp_path)).bad_files
    rows, groups = (7000, 7001) if place == "file" else (7001, 7000)
    assert bad.path == f"{tmp_path}/b.parquet"
    assert bad.reason == f"its footer tells of {rows} rows, its row groups of {groups}"


def test_list_name_inside_a_struct_that_is_no_text_is_a_bad_file(tmp_path):
    pq.write_table(pa.table({"s": [{"inside": 1}]}), tmp_path / "a.parquet", store_schema=False)
    spoiled = (tmp_path / "a.parquet").read_bytes().replace(b"inside", b"in\xff\xffde")
    (tmp_path / "b.parquet").write_bytes(spoiled)
    (bad,) = list_parquet(str(tmp_path)).bad_files
    assert bad.path == f"{tmp_path}/b.parquet"


def test_list_pipe_is_a_bad_file_and_nobody_waits_for_it(tmp_path):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "a.parquet")
    os.mkfifo(tmp_path / "b.parquet")
    listing = list_parquet(str(tmp_path))
    assert listing.bad_files == ((f"{tmp_path}/b.parquet", "is no regular file"),)


def test_list_folder_with_a_file_name_that_is_no_text_is_refused_with_the_folder(tmp_path):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.parquet"))
    with pytest.raises(UsageError, match=f"cannot list {tmp_path}: .*utf-8"):
        list_parquet(str(tmp_path))


def test_list_one_file_with_a_name_twice_beside_another_names_it_with_the_column(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], ["x", "x"])
    pq.write_table(twice, tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "b.parquet")
    listing = list_parquet(str(tmp_path))
    assert [file.path for file in listing.files] == [f"{tmp_path}/b.parquet"]
    assert listing.bad_files == ((f"{tmp_path}/a.parquet", listing.bad_files[0].reason),)
    assert listing.bad_files[0].reason == "two columns have the same name: x"


def test_list_nothing_but_a_file_with_a_name_twice_is_refused(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], ["x", "x"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="two columns have the same name: x"):
        list_parquet(str(tmp_path))


@pytest.mark.parametrize("dictionary", [False, True])
def test_read_text_that_is_no_utf8_is_not_a_number(dictionary):
    raw = pa.array([b"1.5", b"\xff\xfe", b"2", b"1\x80", None], pa.binary())
    text = raw.view(pa.string())
    column = text.dictionary_encode() if dictionary else text
    points, faults = PointColumns(["a"], ["a"], False).read(pa.table({"a": column}), "float64")
    assert [(row, code) for row, code, _ in faults] == [
        (1, "not_a_number"),
        (3, "not_a_number"),
        (4, "null"),
    ]
    assert faults.details()[1] == "input 'a' is the text '1�'"
    assert points[[0, 2], 0].tolist() == [1.5, 2.0]
