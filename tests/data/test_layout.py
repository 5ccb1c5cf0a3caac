import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.layout import Layout, choose_layout
from hyperdiag.messages.errors import UsageError

OUTPUTS, DIRECTIONS = ["y1", "y2"], ["a", "b", "c"]
PASSED = [pa.field("id", pa.int64()), pa.field("name", pa.string())]
WIDE_NAMES = [
    *("y1", "y2"),
    *("d_y1__d_a", "d_y1__d_b", "d_y1__d_c", "d_y2__d_a", "d_y2__d_b", "d_y2__d_c"),
    *("d2_y1__d2_a", "d2_y1__d2_b", "d2_y1__d2_c", "d2_y2__d2_a", "d2_y2__d2_b", "d2_y2__d2_c"),
]


def _layout(kind, dtype="float64", provenance=True, passed=PASSED, **names):
    return Layout(
        kind=kind,
        network="net",
        digest="0123",
        outputs=names.get("outputs", OUTPUTS),
        directions=names.get("directions", DIRECTIONS),
        dtype=dtype,
        passed=passed,
        provenance=provenance,
    )


def _arrays(rows=4, dtype="float64", m=2, k=3):
    rng = np.random.default_rng(0)
    shapes = [(rows, m), (rows, m, k), (rows, m, k)]
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def _assembled(layout, rows=4):
    table = pa.table(
        {"other": [0.0] * rows, "name": list("pqrstuvw")[:rows], "id": list(range(rows))}
    )
    index = pa.array(range(10, 10 + rows), pa.int64())
    arrays = _arrays(rows, layout.dtype, len(layout.outputs), len(layout.directions))
    return layout.assemble(table, "in.parquet", index, arrays), arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_assemble_wide_columns_are_the_arrays_numbers(dtype):
    table, (y, jacobian, diagonal) = _assembled(_layout("wide", dtype))
    assert table.column_names == ["id", "name", "_source_file", "_row_index", *WIDE_NAMES]
    assert table["_source_file"].to_pylist() == ["in.parquet"] * 4
    assert table["_row_index"].to_pylist() == [10, 11, 12, 13]
    assert table["id"].to_pylist() == [0, 1, 2, 3]
    assert table["name"].to_pylist() == list("pqrs")
    for j, output in enumerate(OUTPUTS):
        assert table[output].type == pa.from_numpy_dtype(dtype)
        np.testing.assert_array_equal(table[output], y[:, j])
        for i, name in enumerate(DIRECTIONS):
            np.testing.assert_array_equal(table[f"d_{output}__d_{name}"], jacobian[:, j, i])
            np.testing.assert_array_equal(table[f"d2_{output}__d2_{name}"], diagonal[:, j, i])


@pytest.mark.parametrize("kind", ["wide", "tensor"])
def test_assemble_takes_arrays_in_any_order_in_memory(kind):
    layout = _layout(kind, passed=[])
    arrays = _arrays(rows=5)
    rows_last = [np.ascontiguousarray(np.moveaxis(array, 0, -1)) for array in arrays]
    for rows in (5, 3, 1, 0):  # fewer of a larger array, too
        index = pa.array(range(rows), pa.int64())
        none = pa.table({"id": list(range(rows))})
        one_way = layout.assemble(none, "in", index, [array[:rows] for array in arrays])
        moved = [np.moveaxis(array, -1, 0)[:rows] for array in rows_last]
        assert layout.assemble(none, "in", index, moved).equals(one_way)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_assemble_tensor_columns_are_the_arrays(dtype):
    table, arrays = _assembled(_layout("tensor", dtype, provenance=False))
    assert table.column_names == ["id", "name", "value", "jacobian", "hessian_diag"]
    number = pa.from_numpy_dtype(dtype)
    assert table["value"].type == pa.list_(number, 2)
    assert table["jacobian"].type == pa.list_(pa.list_(number, 3), 2)
    for name, array in zip(table.column_names[2:], arrays, strict=True):
        np.testing.assert_array_equal(np.array(table[name].to_pylist(), dtype), array)


@pytest.mark.parametrize("kind", ["wide", "tensor"])
@pytest.mark.parametrize("sizes", [(0, 2, 3), (1, 2, 3), (4, 1, 1)])
def test_assemble_extreme_sizes_keep_the_schema(kind, sizes):
    rows, m, k = sizes
    layout = _layout(kind, outputs=OUTPUTS[:m], directions=DIRECTIONS[:k])
    table, (y, _, diagonal) = _assembled(layout, rows)
    assert (table.num_rows, table.schema) == (rows, layout.schema)
    if rows:
        last = table.to_pylist()[-1]
        found = last["hessian_diag"][-1][-1] if kind == "tensor" else list(last.values())[-1]
        assert found == diagonal[-1, -1, -1]
        assert (last["value"][0] if kind == "tensor" else last["y1"]) == y[-1, 0]
    table.validate(full=True)


def test_fields_metadata_says_what_each_column_is():
    wide = _layout("wide").schema
    assert wide.field("id").metadata is None
    common = {b"network": b"net", b"digest": b"0123", b"shape": b"[]"}
    assert wide.field("y2").metadata == {**common, b"outputs": b'["y2"]'}
    assert wide.field("d2_y1__d2_c").metadata == {
        **common,
        b"outputs": b'["y1"]',
        b"inputs": b'["c"]',
    }
    tensor = {name: _layout("tensor").schema.field(name).metadata for name in ("value", "jacobian")}
    assert json.loads(tensor["jacobian"][b"shape"]) == [2, 3]
    assert json.loads(tensor["jacobian"][b"inputs"]) == DIRECTIONS
    assert json.loads(tensor["jacobian"][b"outputs"]) == OUTPUTS
    assert json.loads(tensor["value"][b"shape"]) == [2]
    assert b"inputs" not in tensor["value"]  # a value has no direction


def test_schema_names_survive_parquet_with_their_metadata(tmp_path):
    table, _ = _assembled(_layout("tensor"))
    pq.write_table(table, tmp_path / "t.parquet")
    found = pq.read_schema(tmp_path / "t.parquet")
    for name in ("value", "jacobian", "hessian_diag"):
        kept = table.schema.field(name).metadata.items()
        assert kept <= found.field(name).metadata.items()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"passed": [pa.field("y1", pa.string())]}, "y1"),
        ({"passed": [pa.field("d_y1__d_a", pa.string())]}, "d_y1__d_a"),
        ({"passed": [pa.field("_row_index", pa.int64())]}, "_row_index"),
        ({"outputs": ["y", "d_y__d_a"]}, "d_y__d_a"),
    ],
)
def test_schema_with_a_name_twice_is_refused(change, name):
    with pytest.raises(UsageError, match=rf"two columns named {name}: "):
        _ = _layout("wide", **change).schema


def test_schema_with_a_column_called_as_an_unused_provenance_is_allowed():
    passed = [pa.field("_row_index", pa.int64()), pa.field("y1", pa.string())]
    names = _layout("tensor", passed=passed, provenance=False).schema.names
    assert names == ["_row_index", "y1", "value", "jacobian", "hessian_diag"]


@pytest.mark.parametrize(
    ("layout", "m", "k", "chosen"),
    [
        ("auto", 1, 128, "wide"),
        ("auto", 8, 16, "wide"),
        ("auto", 1, 129, "tensor"),
        ("auto", 43, 3, "tensor"),
        ("wide", 100, 100, "wide"),
        ("tensor", 1, 1, "tensor"),
    ],
)
def test_choose_layout_auto_is_wide_up_to_256_derivatives(layout, m, k, chosen):
    assert choose_layout(layout, m, k) == chosen


@pytest.mark.parametrize("kind", ["wide", "tensor"])
def test_file_is_read_by_pandas_polars_and_duckdb(tmp_path, kind):
    table, (y, jacobian, _) = _assembled(_layout(kind))
    path = str(tmp_path / "t.parquet")
    pq.write_table(table, path)
    with duckdb.connect() as connection:
        rows = connection.execute("select * from read_parquet(?)", [path]).fetchall()
        readings = [[dict(zip(table.column_names, row, strict=True)) for row in rows]]
    readings += [pl.read_parquet(path).to_dicts(), pd.read_parquet(path).to_dict("records")]
    for reading in readings:
        if kind == "wide":
            values = [[row["y1"], row["y2"]] for row in reading]
            slopes = [[[row[f"d_{o}__d_{i}"] for i in "abc"] for o in OUTPUTS] for row in reading]
        else:
            values = [list(row["value"]) for row in reading]
            slopes = [[list(part) for part in row["jacobian"]] for row in reading]
        np.testing.assert_array_equal(values, y)
        np.testing.assert_array_equal(slopes, jacobian)
        assert [row["name"] for row in reading] == list("pqrs")


def test_axes_give_the_positions_of_a_tensor_their_names(tmp_path):
    table, (_, jacobian, _) = _assembled(_layout("tensor"))
    pq.write_table(table, tmp_path / "data.parquet")
    pq.write_table(_layout("tensor").axes, tmp_path / "axes.parquet")
    query = """
        select data.jacobian[o.position + 1][i.position + 1]
        from 'data.parquet' data, 'axes.parquet' o, 'axes.parquet' i
        where o.axis = 'output' and o.name = 'y2' and i.axis = 'input' and i.name = 'c'
        order by data.id
    """
    with duckdb.connect() as connection:
        connection.execute(f"set file_search_path = '{tmp_path}'")
        numbers = [number for (number,) in connection.execute(query).fetchall()]
    np.testing.assert_array_equal(numbers, jacobian[:, 1, 2])
    axes = pl.read_parquet(tmp_path / "axes.parquet")
    assert axes.filter(axis="output")["name"].to_list() == OUTPUTS
    assert axes.filter(axis="input")["name"].to_list() == DIRECTIONS
