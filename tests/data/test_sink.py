import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import prepare_folders
from hyperdiag.data.sink import ShardSink, read_receipt
from hyperdiag.messages.errors import OutputError

NAME = "part-0000003.parquet"
PAIR = pa.list_(pa.float32(), 2)
FIELDS = {
    "text": pa.string(),
    "whole": pa.int64(),
    "half": pa.float16(),
    "single": pa.float32(),
    "double": pa.float64(),
    "matrix": pa.list_(PAIR, 2),
    "struct": pa.struct({"f": pa.float64(), "s": pa.string()}),
    "map": pa.map_(pa.string(), pa.float32()),
    "large": pa.large_list(pa.float64()),
}
FLOAT_LEAVES = {
    *("single", "double", "matrix.list.element.list.element"),
    *("struct.f", "map.key_value.value", "large.list.element"),
}
SCHEMA = pa.schema(FIELDS)


def _table(rows, start=0):
    numbers = [float(i) for i in range(start, start + rows)]
    columns = {
        "text": [f"text {i}" for i in numbers],
        "whole": [int(i) for i in numbers],
        "half": np.array(numbers, np.float16),
        "single": numbers,
        "double": numbers,
        "matrix": [[[i, 1.0], [2.0, -i]] for i in numbers],
        "struct": [{"f": i, "s": "s"} for i in numbers],
        "map": [[("key", i)] for i in numbers],
        "large": [[i] * 3 for i in numbers],
    }
    return pa.table(columns, schema=SCHEMA)


@pytest.fixture
def output(tmp_path):
    place = resolve(str(tmp_path / "out"))
    prepare_folders(place)
    return place


def _files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _bad(rows, bad):
    faults = Faults(rows)
    for row in bad:
        where = np.arange(rows) == row
        faults.add(where, Fault.NULL, f"row {row} is null")
    return faults


def test_commit_data_reads_back_whole_in_row_groups_of_the_given_size(output, tmp_path):
    batches = [_table(4, start) for start in (0, 4, 8, 12, 16)]
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        for batch in batches:
            sink.write(batch)
        sink.commit({})
    path = tmp_path / "out/data" / NAME
    assert pq.read_table(path).equals(_table(20))
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [12, 8]


def test_commit_data_floats_are_split_by_byte_and_all_is_zstd(output, tmp_path):
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        sink.write(_table(50))
        sink.commit({})
    group = pq.read_metadata(tmp_path / "out/data" / NAME).row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    split = {c.path_in_schema for c in columns if "BYTE_STREAM_SPLIT" in c.encodings}
    assert split == FLOAT_LEAVES
    assert not any(
        "DICTIONARY" in encoding
        for column in columns
        if column.path_in_schema in FLOAT_LEAVES
        for encoding in column.encodings
    )
    assert {column.compression for column in columns} == {"ZSTD"}


def test_float_column_with_a_dot_in_its_name_is_split_too(output, tmp_path):
    table = pa.table({"a.b": [1.5, 2.5], "a": ["x", "y"]})
    with ShardSink(output, NAME, table.schema, 10) as sink:
        sink.write(table)
        sink.commit({})
    path = tmp_path / "out/data" / NAME
    assert pq.read_table(path).equals(table)
    assert "BYTE_STREAM_SPLIT" in pq.read_metadata(path).row_group(0).column(0).encodings


def test_files_appear_at_commit_alone_and_scratch_is_left_empty(output, tmp_path):
    with ShardSink(output, NAME, SCHEMA, 1) as sink:
        sink.write(_table(3))
        sink.quarantine(_table(2), "in.parquet", pa.array([0, 1]), _bad(2, [1]))
        assert {name.split("/")[0] for name in _files(tmp_path / "out")} == {"run"}
        sink.commit({})
        assert _files(tmp_path / "out") == [f"data/{NAME}", f"quarantine/{NAME}"]
    assert _files(tmp_path / "out") == [f"data/{NAME}", f"quarantine/{NAME}"]


def _fill_and_fail(output):
    with ShardSink(output, NAME, SCHEMA, 1) as sink:
        sink.write(_table(3))
        sink.quarantine(_table(2), "in.parquet", pa.array([0, 1]), _bad(2, [0, 1]))
        raise KeyError("stop")


def test_exception_before_commit_leaves_nothing(output, tmp_path):
    with pytest.raises(KeyError):
        _fill_and_fail(output)
    assert _files(tmp_path / "out") == []


def test_commit_without_rows_writes_a_data_file_and_no_quarantine(output, tmp_path):
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        sink.commit({})
    assert _files(tmp_path / "out") == [f"data/{NAME}"]
    assert pq.read_table(tmp_path / "out/data" / NAME).equals(SCHEMA.empty_table())


def test_commit_twice_the_same_writes_the_same_bytes(output, tmp_path):
    written = []
    for receipt in ({"b": 1, "a": [2]}, {"a": [2], "b": 1}):
        with ShardSink(output, NAME, SCHEMA, 10) as sink:
            sink.write(_table(30))
            sink.quarantine(_table(3), "in.parquet", pa.array([0, 1, 2]), _bad(3, [1]))
            sink.commit(receipt)
        written.append([(tmp_path / "out" / kind / NAME).read_bytes() for kind in
                        ("data", "quarantine")])  # fmt: skip
    assert written[0] == written[1]


def test_quarantine_of_batches_holds_bad_rows_in_order_with_their_reasons(output, tmp_path):
    table = pa.table({"a": [1.0, 2.0, 3.0], "_error": ["x", "y", None]})
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        sink.quarantine(table, "in.parquet", pa.array([10, 11, 12]), _bad(3, [0, 2]))
        sink.quarantine(table, "in.parquet", pa.array([20, 21, 22]), _bad(3, [1]))
        sink.commit({})
    found = pq.read_table(tmp_path / "out/quarantine" / NAME)
    assert found.to_pydict() == {
        "a": [1.0, 3.0, 2.0],
        "_error": ["x", None, "y"],
        "_error_code": ["null"] * 3,
        "_error_detail": ["row 0 is null", "row 2 is null", "row 1 is null"],
        "_source_file": ["in.parquet"] * 3,
        "_row_index": [10, 12, 21],
    }
    assert found.column_names[-4:] == ["_error_code", "_error_detail", "_source_file", "_row_index"]


@pytest.mark.parametrize("name", ["_error_code", "_error_detail", "_source_file", "_row_index"])
def test_quarantine_of_input_with_a_column_of_its_own_names_stays_readable(output, tmp_path, name):
    table = pa.table({"a": [1.0], name: ["theirs"]})
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        sink.quarantine(table, "in.parquet", pa.array([0]), _bad(1, [0]))
        sink.commit({})
    found = pq.ParquetFile(tmp_path / "out/quarantine" / NAME).read()
    assert len(set(found.column_names)) == len(found.column_names)
    assert found["_error_code"].to_pylist() == ["null"]
    assert "theirs" in [value for column in found.to_pydict().values() for value in column]


def test_receipt_of_a_committed_file_reads_back(output):
    receipt = {"rows": 3, "text": "ü", "nested": {"a": [1.5, None]}}
    with ShardSink(output, NAME, SCHEMA, 10) as sink:
        sink.commit(receipt)
    assert read_receipt(output / "data" / NAME) == receipt


def test_receipt_of_what_is_no_data_file_is_none(output, tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    for name in ("other.parquet", "text.parquet", "gone.parquet"):
        assert read_receipt(resolve(str(tmp_path / name))) is None


def test_prepare_folders_keeps_what_is_there(output, tmp_path):
    (tmp_path / "out/run/scratch/torn").touch()
    (tmp_path / "out/data/kept").touch()
    prepare_folders(output)
    assert _files(tmp_path / "out") == ["data/kept", "run/scratch/torn"]


def test_output_below_a_regular_file_is_an_output_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    place = resolve(str(tmp_path / "file/out"))
    with pytest.raises(OutputError, match=r"cannot write .*file/out"):
        prepare_folders(place)
    with pytest.raises(OutputError, match=f"cannot write .*file/out.*{NAME}"):
        ShardSink(place, NAME, SCHEMA, 10)


def test_commit_onto_a_folder_is_an_output_error_and_leaves_scratch_empty(output, tmp_path):
    (tmp_path / "out/data" / NAME / "full").mkdir(parents=True)
    with (
        ShardSink(output, NAME, SCHEMA, 10) as sink,
        pytest.raises(OutputError, match=f"cannot write .*data/{NAME}"),
    ):
        sink.commit({})
    assert _files(tmp_path / "out") == []
