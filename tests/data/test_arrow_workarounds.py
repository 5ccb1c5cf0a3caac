import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.arrow_workarounds import cast_views, unsliced, without_views
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.data.points import PointColumns

from .test_damaged_input import _read, _source

ROWS = 40
NUMBERS = np.arange(ROWS * 6.0).reshape(ROWS, 6)


def _matrix(inner):
    lists = pa.FixedSizeListArray.from_arrays
    return lists(lists(pa.array(NUMBERS.ravel()), inner), 6 // inner)


MATRICES = {
    "2x3": _matrix(3),
    "6x1": _matrix(1),
    "in a struct": pa.StructArray.from_arrays([_matrix(2)], ["a"]),
    "of three levels": pa.FixedSizeListArray.from_arrays(_matrix(1).flatten(), 2).slice(0, ROWS),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_unsliced_matrix_columns_are_filtered_and_taken_right(kind):
    part = pa.table({"m": MATRICES[kind]}).slice(11, 20)
    expected = part["m"].to_pylist()
    mask = np.arange(20) % 3 == 0
    found = unsliced(part)
    assert found.schema == part.schema
    assert found["m"].to_pylist() == expected
    kept = [row for row, keep in zip(expected, mask, strict=True) if keep]
    assert found.filter(pa.array(mask))["m"].to_pylist() == kept
    assert found.take(pa.array(np.flatnonzero(mask)))["m"].to_pylist() == kept


def test_unsliced_leaves_other_columns_as_they_are():
    part = pa.table({"a": np.arange(9), "l": [[1.0, 2.0]] * 9}).slice(3)
    assert unsliced(part).column(0).chunk(0).offset == 3
    assert unsliced(part).equals(part)


@pytest.mark.parametrize("inner", [1, 2, 3, 6])
def test_points_of_a_sliced_matrix_column_are_the_numbers_in_it(inner):
    part = pa.table({"v": _matrix(inner)}).slice(11, 20)
    points, faults = PointColumns([f"x{i}" for i in range(6)], ["v"], True).read(part, "float64")
    assert not faults.bad.any()
    np.testing.assert_array_equal(points, NUMBERS[11:31])


@pytest.mark.parametrize("row_filter", [None, "key >= 3"])
def test_read_matrix_columns_in_batches_can_be_filtered(tmp_path, row_filter):
    table = pa.table({"m": _matrix(2), "key": np.arange(ROWS)})
    with pq.ParquetWriter(tmp_path / "rows.parquet", table.schema) as writer:
        for start, end in ((0, 15), (15, 17), (17, ROWS)):
            writer.write_table(table.slice(start, end - start))
    parts = _read(_source(tmp_path, row_filter=row_filter), 16)
    odd = [rows.table.filter(pc.equal(pc.bit_wise_and(rows.table["key"], 1), 1)) for rows in parts]
    rows = pa.concat_tables(odd)
    first = 1 if row_filter is None else 3
    assert rows["key"].to_pylist() == list(range(first, ROWS, 2))
    np.testing.assert_array_equal(np.array(rows["m"].to_pylist()).reshape(-1, 6), NUMBERS[first::2])


VIEWS = {
    "text": (pa.string_view(), pa.string(), ["a", "b", None]),
    "binary": (pa.binary_view(), pa.binary(), [b"a", b"b", None]),
    "struct": (
        pa.struct([("a", pa.string_view())]),
        pa.struct([("a", pa.string())]),
        [{"a": "x"}, {"a": None}, None],
    ),
    "list": (pa.list_(pa.string_view()), pa.list_(pa.string()), [["x"], [], None]),
    "large": (pa.large_list(pa.string_view()), pa.large_list(pa.string()), [["x"], [], None]),
    "fixed": (pa.list_(pa.string_view(), 1), pa.list_(pa.string(), 1), [["x"], ["y"], [None]]),
    "list view": (pa.list_view(pa.float64()), pa.list_(pa.float64()), [[1.0, 2.0], None, [3.0]]),
    "large list view of views": (
        pa.large_list_view(pa.string_view()),
        pa.large_list(pa.string()),
        [["x", "y"], None, []],
    ),
    "map": (
        pa.map_(pa.string(), pa.string_view()),
        pa.map_(pa.string(), pa.string()),
        [[("k", "v")], [], None],
    ),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_of_any_depth_become_types_that_can_be_filtered(kind):
    view, plain, values = VIEWS[kind]
    table = pa.table({"v": pa.array(values, view), "i": [1, 2, 3]})
    assert without_views(table.schema).field("v").type == plain
    found = cast_views(table)
    assert found.schema == without_views(table.schema)
    assert found.filter(pc.field("i") != 2)["v"].to_pylist() == [values[0], values[2]]


def test_schema_without_views_is_the_same():
    kinds = [pa.list_(pa.field("x", pa.int8(), False)), pa.map_(pa.string(), pa.float16(), True)]
    kinds += [pa.struct([]), pa.dictionary(pa.int8(), pa.string())]
    schema = pa.schema([(f"c{i}", kind) for i, kind in enumerate(kinds)], {"a": "b"})
    assert without_views(schema).equals(schema, check_metadata=True)


def test_read_file_with_views_gives_the_schema_of_the_listing(tmp_path):
    table = pa.table({"v": pa.array(["a", "b"], pa.string_view()), "i": [1, 2]})
    pq.write_table(table, tmp_path / "rows.parquet")
    (part,) = _read(_source(tmp_path, row_filter="i == 2"))
    assert part.table.schema == list_parquet(str(tmp_path)).schema
    assert part.table["v"].to_pylist() == ["b"]


def test_cast_views_keeps_the_metadata_of_each_table_of_equal_types():
    for unit in ("m", "km"):
        field = pa.field("x", pa.string_view(), metadata={"unit": unit})
        table = pa.table([pa.array(["a"], pa.string_view())], schema=pa.schema([field]))
        assert cast_views(table).schema.field("x").metadata == {b"unit": unit.encode()}
        assert without_views(table.schema).field("x").metadata == {b"unit": unit.encode()}
