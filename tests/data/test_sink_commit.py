import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import prepare_folders
from hyperdiag.data.sink import ShardSink
from hyperdiag.messages.errors import OutputError

NAME = "part-0000003.parquet"
TABLE = pa.table({"x": [1.0, 2.0]})


@pytest.fixture
def output(tmp_path):
    place = resolve(str(tmp_path))
    prepare_folders(place)
    return place


def _commit(output):
    faults = Faults(2)
    faults.add(np.array([True, False]), Fault.NULL, "is null")
    with ShardSink(output, NAME, TABLE.schema, 10) as sink:
        sink.write(TABLE)
        sink.quarantine(TABLE, "in.parquet", pa.array([0, 1]), faults)
        sink.commit({})


def _parquet_files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_commit_quarantine_that_cannot_be_named_leaves_no_data_file_to_vouch_for_it(
    output, tmp_path
):
    (tmp_path / "quarantine" / NAME / "full").mkdir(parents=True)
    with pytest.raises(OutputError, match=f"cannot write .*quarantine/{NAME}"):
        _commit(output)
    assert _parquet_files(tmp_path) == []


def test_commit_data_that_cannot_be_named_comes_after_the_quarantine(output, tmp_path):
    (tmp_path / "data" / NAME / "full").mkdir(parents=True)
    with pytest.raises(OutputError, match=f"cannot write .*data/{NAME}"):
        _commit(output)
    assert _parquet_files(tmp_path) == [f"quarantine/{NAME}"]


def test_write_rows_too_large_to_hold_make_row_groups_before_there_are_enough(output, tmp_path):
    batch = pa.table({"text": [bytes(33 << 20)]})  # two of them pass 64 MiB
    with ShardSink(output, NAME, batch.schema, 10**9) as sink:
        for _ in range(3):
            sink.write(batch)
        sink.commit({})
    metadata = pq.read_metadata(tmp_path / "data" / NAME)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 1]


def test_write_numbers_that_may_be_null_fill_a_row_group_by_the_bytes_that_they_take(
    output, tmp_path
):
    rows = (64 << 20) // (3 * 8)  # a third of 64 MiB, less a third of a number
    batch = pa.table({"x": np.zeros(rows), "n": pa.nulls(rows, pa.bool_())})
    with ShardSink(output, NAME, batch.schema, 10**9) as sink:
        for _ in range(5):  # two bits of a row more, in the bitmaps of "n": three are enough
            sink.write(batch)
        sink.commit({})
    metadata = pq.read_metadata(tmp_path / "data" / NAME)
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [3 * rows, 2 * rows]


def test_exception_that_stops_the_process_leaves_nothing_either(output, tmp_path):
    def stopped():
        with ShardSink(output, NAME, TABLE.schema, 1) as sink:
            sink.write(TABLE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert _parquet_files(tmp_path) == []
