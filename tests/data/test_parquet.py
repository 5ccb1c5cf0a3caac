import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import ceil
from random import Random

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.data.shard import InputFile
from hyperdiag.messages.errors import InputError

MATRIX = pa.list_(pa.list_(pa.float64(), 1), 1)


def _source(path, columns=None, row_filter=None, limit=None, shard_rows=10**9):
    listing = list_parquet(str(path))
    return ParquetSource(
        path=str(path),
        files=listing.files,
        schema=listing.schema,
        partition_keys=listing.partition_keys,
        base=listing.base,
        columns=columns or listing.schema.names,
        row_filter=row_filter,
        limit=limit,
        shard_rows=shard_rows,
    )


def _read(source, batch_rows):
    return [rows for shard in source.shards() for rows in source.read(shard, batch_rows)]


def _column(parts, name):
    return [value for part in parts for value in part.table[name].to_pylist()]


@pytest.fixture
def numbers(tmp_path):
    """A file of 100 rows in row groups of 7: `i` is the row's index."""
    table = pa.table({"i": range(100), "text": [f"row {i}" for i in range(100)]})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=7)
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("batch_rows", [1, 3, 7, 16, 99, 100, 1000])
def test_read_any_batch_size_gives_full_batches_across_row_groups(numbers, batch_rows):
    parts = _read(_source(numbers), batch_rows)
    sizes = [part.table.num_rows for part in parts]
    assert len(sizes) == ceil(100 / batch_rows)
    assert set(sizes[:-1]) <= {batch_rows}
    assert _column(parts, "i") == list(range(100))
    for part in parts:
        assert part.index.type == pa.int64()
        assert part.index.to_pylist() == part.table["i"].to_pylist()
        assert part.filtered == 0


@pytest.mark.parametrize("limit", [1, 7, 10, 14, 99, 100, 101, 0])
def test_read_limit_stops_there_even_inside_a_row_group(numbers, limit):
    source = _source(numbers, limit=limit, shard_rows=21)
    assert _column(_read(source, 4), "i") == list(range(min(limit, 100)))
    assert sum(shard.rows for shard in source.shards()) == min(limit, 100)


def test_read_columns_come_in_the_order_asked_and_alone(numbers):
    for columns in (["text"], ["text", "i"]):
        (part,) = _read(_source(numbers, columns=columns), 100)
        assert part.table.column_names == columns
        assert part.table["text"][99].as_py() == "row 99"


@pytest.mark.parametrize("batch_rows", [4, 10, 1000])
@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("i >= 40", lambda i: i >= 40),
        ("i < 0", lambda i: False),
        ("i >= 0", lambda i: True),
        ("i == 99", lambda i: i == 99),
        ("i == 0", lambda i: i == 0),
    ],
)
def test_read_filter_counts_what_it_leaves_out(numbers, text, keep, batch_rows):
    source = _source(numbers, row_filter=text, shard_rows=30, limit=95)
    expected = [i for i in range(95) if keep(i)]
    for shard in source.shards():
        parts = list(source.read(shard, batch_rows))
        sizes = [part.table.num_rows for part in parts]
        assert set(sizes[:-1]) <= {batch_rows}
        assert sum(sizes) + sum(part.filtered for part in parts) == shard.rows
        inside = range(shard.first_row, shard.first_row + shard.rows)
        assert _column(parts, "i") == [i for i in expected if i in inside]
        assert [i for part in parts for i in part.index.to_pylist()] == _column(parts, "i")


def test_read_filter_that_keeps_few_rows_tells_of_its_progress_and_holds_nothing_else(tmp_path):
    count = 280_000
    table = pa.table({"i": range(count), "x": [0.5] * count})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=count)
    source = _source(tmp_path, row_filter="i == 7 or i == 279999")
    (shard,) = source.shards()
    held, seen, selected = [], [], source._selected

    def watched(*arguments):
        for rows in selected(*arguments):
            held.append(sum(one() is not None for one in seen))
            seen.append(weakref.ref(rows.table))
            yield rows
            del rows

    object.__setattr__(source, "_selected", watched)
    parts = list(source.read(shard, 200))
    assert len(held) == 1400
    assert max(held) <= 3  # the first row, the part before and this one
    assert [part.filtered for part in parts[:-1]] == [131_199, 131_200]
    assert [part.table.num_rows for part in parts] == [0, 0, 2]
    assert sum(part.filtered for part in parts) == count - 2
    assert parts[-1].table.to_pydict() == {"i": [7, 279_999], "x": [0.5, 0.5]}
    assert parts[-1].index.to_pylist() == [7, 279_999]
    assert all(part.table.schema == table.schema for part in parts)


def test_read_partition_keys_agree_with_pyarrows_own_reader(tmp_path):
    table = pa.table(
        {
            "v": [1.0, 2.0, 3.0, 4.0],
            "y": pa.array([2023, 2024, 2024, None], pa.int32()),
            "site": ["a/b", "ü =&%", "x", "x"],
        }
    )
    pq.write_to_dataset(table, tmp_path, partition_cols=["y", "site"])
    expected = ds.dataset(tmp_path, partitioning="hive").to_table().sort_by("v").to_pylist()
    source = _source(tmp_path)
    found = [row for part in _read(source, 10) for row in part.table.to_pylist()]
    assert sorted(found, key=lambda row: row["v"]) == expected
    for part in _read(source, 10):
        assert {f.name: f.type for f in part.table.schema} == {
            f.name: f.type for f in source.schema
        }


def test_read_partition_keys_alone_keep_the_number_of_rows(tmp_path):
    (tmp_path / "k=1").mkdir()
    pq.write_table(pa.table({"v": [1.0, 2.0, 3.0]}), tmp_path / "k=1/a.parquet")
    (part,) = _read(_source(tmp_path, columns=["k"]), 10)
    assert part.table["k"].to_pylist() == [1, 1, 1]


def test_read_partition_key_with_a_leading_zero_keeps_it(tmp_path):
    for key in ("01234", "90210"):
        (tmp_path / f"zip={key}").mkdir()
        pq.write_table(pa.table({"v": [1.0]}), tmp_path / f"zip={key}/a.parquet")
    assert _column(_read(_source(tmp_path), 10), "zip") == ["01234", "90210"]
    (part, _) = _read(_source(tmp_path, row_filter="zip == '01234'"), 10)
    assert part.table["zip"].to_pylist() == ["01234"]


def test_read_filter_on_a_partition_key_holds(tmp_path):
    for key in (1, 2):
        (tmp_path / f"k={key}").mkdir()
        pq.write_table(pa.table({"v": [key * 1.0, key * 10.0]}), tmp_path / f"k={key}/a.parquet")
    parts = _read(_source(tmp_path, row_filter="k == 2 and v > 5"), 10)
    assert _column(parts, "v") == [20.0]
    assert sum(part.filtered for part in parts) == 3


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_read_file_changed_since_the_listing_is_refused(numbers, change):
    source = _source(numbers)
    if change == "size":
        pq.write_table(pa.table({"i": [1], "text": ["x"]}), numbers)
    elif change == "time":
        status = numbers.stat()
        os.utime(numbers, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        numbers.unlink()
    with pytest.raises(InputError, match=r"rows\.parquet"):
        _read(source, 10)


SIZES = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=4)


def _assert_each_row_once(shards, sizes, limit):
    """Each row of files with row groups of these sizes is in one shard, up to the limit."""
    covered = [
        (int(shard.file.path), row)
        for shard in shards
        for row in range(shard.first_row, shard.first_row + shard.rows)
    ]
    everything = [(i, row) for i, groups in enumerate(sizes) for row in range(sum(groups))]
    assert covered == everything[:limit]


@settings(max_examples=200)
@given(SIZES, st.integers(1, 20), st.integers(1, 6), st.none() | st.integers(0, 80))
def test_shards_of_large_row_groups_are_parts_and_cover_each_row_once(
    sizes, shard_rows, split_rows, limit
):
    files = [InputFile(f"{i}", 1, 1, tuple(groups)) for i, groups in enumerate(sizes)]
    source = ParquetSource(
        "p", files, pa.schema([]), (), "", (), None, limit, shard_rows, split_rows
    )
    shards = list(source.shards())
    assert [shard.id for shard in shards] == list(range(len(shards)))
    assert len({shard[1:] for shard in shards}) == len(shards)  # so that their keys differ
    _assert_each_row_once(shards, sizes, limit)
    for shard in shards:
        size = sizes[int(shard.file.path)]
        groups = size[shard.first_row_group :][: shard.row_groups]
        before = shard.first_row - sum(size[: shard.first_row_group])
        if len(groups) == 1 and groups[0] >= 2 * split_rows:
            assert before % split_rows == 0
            assert shard.rows <= split_rows
        else:
            assert before == 0
            assert max(groups) < 2 * split_rows


def test_shards_without_large_row_groups_are_those_that_are_not_split():
    files = [InputFile("a", 1, 1, (7, 0, 7, 5, 9)), InputFile("b", 1, 1, (3,) * 9)]
    whole = ParquetSource("p", files, pa.schema([]), (), "", (), None, None, 12)
    split = ParquetSource("p", files, pa.schema([]), (), "", (), None, None, 12, 5)
    assert list(split.shards()) == list(whole.shards())


def _split(path, row_filter=None, limit=None):
    whole = _source(path, row_filter=row_filter, limit=limit, shard_rows=20)
    return replace(whole, split_rows=6)


@pytest.mark.parametrize("batch_rows", [1, 4, 6, 100])
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_read_parts_of_row_groups_in_any_order_gives_each_row_once(tmp_path, order, batch_rows):
    table = pa.table({"i": range(100), "m": pa.array([[[i * 1.0]] for i in range(100)], MATRIX)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=43)
    source = _split(tmp_path)
    shards = list(source.shards())
    assert [(s.first_row_group, s.rows) for s in shards] == [
        *[(0, 6)] * 7 + [(0, 1)],
        *[(1, 6)] * 7 + [(1, 1)],
        *[(2, 6)] * 2 + [(2, 2)],
    ]
    if order == "backward":
        shards.reverse()
    elif order == "shuffled":
        Random(3).shuffle(shards)
    found = {}
    for shard in shards:
        parts = list(source.read(shard, batch_rows))
        assert [part.table.num_rows for part in parts[:-1]] == [batch_rows] * (len(parts) - 1)
        assert _column(parts, "m") == [[[i]] for i in _column(parts, "i")]
        found[shard.first_row] = _column(parts, "i")
        assert [i for part in parts for i in part.index.to_pylist()] == found[shard.first_row]
    assert [i for first in sorted(found) for i in found[first]] == list(range(100))


def test_read_parts_with_filter_and_limit_counts_every_row(tmp_path):
    pq.write_table(pa.table({"i": range(100)}), tmp_path / "rows.parquet")
    source = _split(tmp_path, row_filter="i >= 40", limit=75)
    parts = _read(source, 4)
    assert _column(parts, "i") == list(range(40, 75))
    assert sum(part.filtered for part in parts) == 40


def test_read_parts_by_several_threads_keeps_no_more_readers_than_threads(tmp_path, monkeypatch):
    pq.write_table(pa.table({"i": range(6000)}), tmp_path / "rows.parquet")
    source = _split(tmp_path)
    opened, open_file = [], ParquetSource._open
    monkeypatch.setattr(
        ParquetSource, "_open", lambda *given: opened.append(open_file(*given)) or opened[-1]
    )
    with ThreadPoolExecutor(3) as threads:
        read = lambda shard: _column(list(source.read(shard, 4)), "i")
        found = [row for rows in threads.map(read, source.shards()) for row in rows]
    assert found == list(range(6000))
    assert len(source._kept._readers) <= 3
    assert len(opened) < 100  # of 1,000 shards


def test_read_parts_of_a_file_that_changed_in_between_is_refused(tmp_path):
    pq.write_table(pa.table({"i": range(20)}), tmp_path / "rows.parquet")
    source = _split(tmp_path)
    first, second, *_ = source.shards()
    assert _column(list(source.read(first, 4)), "i") == [*range(6)]
    pq.write_table(pa.table({"i": range(100, 121)}), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="has changed since the run was planned"):
        list(source.read(second, 4))


@settings(max_examples=200)
@given(SIZES, st.integers(1, 20), st.none() | st.integers(0, 80))
def test_shards_of_any_files_cover_each_row_once_and_are_even(sizes, shard_rows, limit):
    files = [InputFile(f"{i}", 1, 1, tuple(groups)) for i, groups in enumerate(sizes)]
    source = ParquetSource("p", files, pa.schema([]), (), "", (), None, limit, shard_rows)
    shards = list(source.shards())
    assert [shard.id for shard in shards] == list(range(len(shards)))
    _assert_each_row_once(shards, sizes, limit)
    for shard in shards:
        size = sizes[int(shard.file.path)]
        groups = size[shard.first_row_group :][: shard.row_groups]
        assert sum(size[: shard.first_row_group]) == shard.first_row
        assert 0 < shard.rows <= sum(groups)
        assert sum(groups[:-1]) < shard_rows  # no more groups than it takes
        ends_file = shard.first_row_group + shard.row_groups == len(size)
        assert sum(groups) >= shard_rows or ends_file


def test_read_partition_key_that_also_stands_above_the_dataset_is_the_inner_one(tmp_path):
    (tmp_path / "k=other/data/k=1").mkdir(parents=True)
    pq.write_table(pa.table({"v": [1.0]}), tmp_path / "k=other/data/k=1/a.parquet")
    (part,) = _read(_source(tmp_path / "k=other/data"), 10)
    assert part.table.to_pylist() == [{"v": 1.0, "k": 1}]
