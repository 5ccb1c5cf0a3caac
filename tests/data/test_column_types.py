import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.column_types import always_fits, conformed, unified_type
from hyperdiag.messages.errors import InputError


def _categories(index=None, ordered=False, values=None):
    return pa.dictionary(index or pa.int8(), values or pa.string(), ordered)


def _utc(unit):
    return pa.timestamp(unit, "UTC")


PAIRS = {
    "null and float": (pa.null(), pa.float64(), pa.float64(), True),
    "null and tensor": (
        *(pa.null(), pa.fixed_shape_tensor(pa.float64(), [2])),
        *(pa.fixed_shape_tensor(pa.float64(), [2]), True),
    ),
    "text": (pa.string(), pa.large_string(), pa.large_string(), True),
    "index width": (_categories(), _categories(pa.int32()), _categories(pa.int32()), True),
    "order": (_categories(ordered=True), _categories(), _categories(), True),
    "categories and text": (_categories(), pa.string(), pa.string(), True),
    "categories of large text": (
        *(_categories(), _categories(values=pa.large_string())),
        *(_categories(values=pa.large_string()), True),
    ),
    "units": (_utc("us"), _utc("ns"), _utc("ns"), False),
    "integers": (pa.int16(), pa.uint32(), pa.int64(), True),
    "integer and float": (pa.int64(), pa.float64(), pa.float64(), False),
    "short integer and float": (pa.int32(), pa.float64(), pa.float64(), True),
    "float of 32 bits and long integer": (pa.float32(), pa.int64(), pa.float64(), False),
    "decimals": (pa.decimal128(5, 2), pa.decimal128(9, 4), pa.decimal128(9, 4), False),
    "nested nullability": (
        *(pa.list_(pa.field("e", pa.float64(), nullable=False)), pa.list_(pa.float64())),
        *(pa.list_(pa.float64()), True),
    ),
    "in a struct": (
        *(pa.struct([pa.field("a", pa.int8(), nullable=False)]), pa.struct([("a", pa.int16())])),
        *(pa.struct([("a", pa.int16())]), True),
    ),
    "list and list of fixed size": (
        *(pa.list_(pa.float64()), pa.list_(pa.float64(), 2)),
        *(pa.list_(pa.float64()), True),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_types_that_fit_together_are_unified_in_either_order(name):
    first, second, wanted, fits = PAIRS[name]
    assert unified_type(first, second) == unified_type(second, first) == wanted
    assert (always_fits(first, wanted) and always_fits(second, wanted)) == fits
    for kind in (first, second):
        assert conformed(pa.table({"c": pa.nulls(2, kind)}), pa.schema([("c", wanted)])).num_rows


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.string(), pa.int64()),
        (pa.bool_(), pa.float64()),
        (_utc("us"), pa.timestamp("us")),
        (pa.decimal128(9, 2), pa.float64()),  # would round
        (pa.int64(), pa.decimal128(9, 2)),  # Arrow names a type that it cannot cast to
        (_categories(), pa.int64()),
        (pa.list_(pa.float64()), pa.float64()),
    ],
)
def test_types_that_do_not_fit_together_have_no_type(first, second):
    assert unified_type(first, second) is unified_type(second, first) is None


def test_type_that_is_narrower_does_not_always_fit():
    for kind, wanted in [
        (_categories(pa.int32()), _categories()),
        (pa.int64(), pa.int32()),
        (pa.int8(), pa.uint64()),
        (pa.uint32(), pa.int32()),
        (pa.float64(), pa.float32()),
        (pa.list_(pa.float64(), 2), pa.list_(pa.float64(), 3)),
        (pa.struct([("a", pa.int8())]), pa.struct([("b", pa.int8())])),
    ]:
        assert not always_fits(kind, wanted)


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([2**53 + 1], pa.int64(), pa.float64()),
        ([2**63], pa.uint64(), pa.int64()),
        ([253402300799999999], _utc("us"), _utc("ns")),
    ],
)
def test_value_that_the_unified_type_cannot_hold_is_an_error_that_names_the_column(
    values, kind, wanted
):
    assert not always_fits(kind, wanted)
    table = pa.table({"key": pa.array(values, pa.int64() if kind != pa.uint64() else kind)})
    with pytest.raises(InputError, match=r"column 'key' is .* there and .*; write the files with"):
        conformed(table.cast(pa.schema([("key", kind)])), pa.schema([("key", wanted)]))


def test_conformed_columns_hold_the_values_that_duckdb_finds(tmp_path):
    tables = [
        pa.table({"a": pa.array([1, None], pa.int32()), "t": pa.array(["x", None])}),
        pa.table({"a": [0.5, 2.0], "t": pa.array(["y", "x"]).dictionary_encode()}),
        pa.table({"a": pa.nulls(1), "t": pa.array(["z"], pa.large_string())}),
    ]
    types = {"a": pa.null(), "t": pa.null()}
    for table in tables:
        types = {name: unified_type(kind, table[name].type) for name, kind in types.items()}
    schema = pa.schema(types)
    found = pa.concat_tables([conformed(table, schema) for table in tables])
    assert found.schema.types == [pa.float64(), pa.large_string()]
    for number, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{number}.parquet")
    query = f"SELECT a, t FROM read_parquet('{tmp_path}/*.parquet', union_by_name=true)"
    assert [*zip(*found.to_pydict().values(), strict=True)] == duckdb.sql(query).fetchall()


def test_conformed_fills_columns_that_are_not_there_and_leaves_others_out():
    table = pa.table({"b": [1.0], "c": [2.0]})
    found = conformed(table, pa.schema([("a", _categories()), ("b", pa.float64())]))
    assert found.to_pylist() == [{"a": None, "b": 1.0}]
    assert conformed(table, pa.schema([])).num_rows == 1
