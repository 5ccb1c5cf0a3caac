"""Input that is odd but possible: each once broke something."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import prepare_folders
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.data.row_filter import parse_filter
from hyperdiag.data.sink import ShardSink
from hyperdiag.messages.errors import UsageError


def _put(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("odd", "kind"),
    [(["text"], "string"), ([[1.0]], "list<element: double>")],
    ids=["text", "list"],
)
def test_list_hive_tree_with_a_file_of_other_types_names_it_as_a_bad_file(tmp_path, odd, kind):
    for key in (1, 2):
        _put(tmp_path / f"k={key}/a.parquet", pa.table({"v": [1.0]}))
    path = _put(tmp_path / "k=3/a.parquet", pa.table({"v": odd}))
    listing = list_parquet(str(tmp_path))
    assert listing.schema.names == ["v", "k"]
    (bad,) = listing.bad_files
    assert bad.path == str(path)
    assert bad.reason.startswith(f"column 'v' is {kind}, not double")


def test_list_hive_key_that_is_null_everywhere_is_refused_by_name(tmp_path):
    _put(tmp_path / "k=__HIVE_DEFAULT_PARTITION__/a.parquet", pa.table({"v": [1.0]}))
    with pytest.raises(UsageError, match="'k'"):
        list_parquet(str(tmp_path))


def test_list_file_whose_column_name_is_no_text_is_a_bad_file(tmp_path):
    good = _put(tmp_path / "a.parquet", pa.table({"name": [1.0]}))
    spoiled = good.read_bytes().replace(b"name", b"n\xff\xffe")
    (tmp_path / "b.parquet").write_bytes(spoiled)
    listing = list_parquet(str(tmp_path))
    assert [file.path for file in listing.files] == [str(good)]
    assert [file.path for file in listing.bad_files] == [str(tmp_path / "b.parquet")]


def test_filter_with_a_long_list_keeps_its_rows():
    # In a process of its own, since the fault takes the process down.
    code = (
        "import pyarrow as pa\n"
        "from hyperdiag.data.row_filter import parse_filter\n"
        "table = pa.table({'i': range(100)})\n"
        "rule = parse_filter(f'i in {list(range(50, 40_000))}', table.schema)\n"
        "print(table.filter(rule).num_rows)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "50")


def test_resolve_home_of_nobody_is_refused_with_the_path():
    with pytest.raises(UsageError, match="~nobody-of-this-name/rows"):
        resolve("~nobody-of-this-name/rows")


def test_filter_outside_a_long_list_leaves_nulls_out():
    table = pa.table({"f": pa.array([0.5, 7.0, None, 300.5], pa.float32())})
    listed = [*range(200), 0.5]
    inside = parse_filter(f"f in {listed}", table.schema)
    outside = parse_filter(f"f not in {listed}", table.schema)
    assert table.filter(inside)["f"].to_pylist() == [0.5, 7.0]
    assert table.filter(outside)["f"].to_pylist() == [300.5]


def test_filter_with_a_long_list_of_two_kinds_is_refused():
    with pytest.raises(UsageError, match=r"dataset\.filter"):
        parse_filter(f"f in {[*range(200), 'a']}", pa.schema([("f", pa.int64())]))


def test_filter_beside_a_tensor_column_keeps_its_rows():
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((3, 2)))
    table = pa.table({"t": tensor, "i": [1, 2, 3]})
    assert table.filter(parse_filter("i >= 2", table.schema))["i"].to_pylist() == [2, 3]


def test_column_whose_path_is_that_of_a_nested_one_of_another_type_is_written(tmp_path):
    table = pa.table({"a": [{"b": "text"}], "a.b": [1.5], "c.d": [2.5]})
    prepare_folders(resolve(str(tmp_path)))
    with ShardSink(resolve(str(tmp_path)), "part.parquet", table.schema, 10) as sink:
        sink.write(table)
        sink.commit({})
    found = pq.ParquetFile(tmp_path / "data/part.parquet")
    assert found.read().equals(table)
    assert "BYTE_STREAM_SPLIT" in found.metadata.row_group(0).column(2).encodings


def test_quarantine_beside_a_column_that_stepped_aside_before_stays_readable(tmp_path):
    names = ["_error_code", "_error_code_input", "_row_index_input", "_row_index"]
    table = pa.table({name: [name] for name in names})
    faults = Faults(1)
    faults.add(np.array([True]), Fault.NULL, "is null")
    prepare_folders(resolve(str(tmp_path)))
    with ShardSink(resolve(str(tmp_path)), "part.parquet", table.schema, 10) as sink:
        sink.quarantine(table, "in.parquet", pa.array([7]), faults)
        sink.commit({})
    found = pq.read_table(tmp_path / "quarantine/part.parquet").to_pylist()[0]
    assert len(found) == 8
    assert (found["_error_code"], found["_row_index"]) == ("null", 7)
    assert [value for value in found.values() if value in names] == names
