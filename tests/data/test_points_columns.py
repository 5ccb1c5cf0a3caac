import pyarrow as pa
import pytest

from hyperdiag.data.points import PointColumns, point_columns
from hyperdiag.messages.errors import UsageError

SCHEMA = pa.schema(
    [
        ("Ati", pa.float32()),
        ("safety factor", pa.float64()),
        ("q", pa.string()),
        ("when", pa.timestamp("us")),
        ("raw", pa.binary()),
        ("point", pa.list_(pa.float32(), 2)),
        ("points", pa.list_(pa.list_(pa.float32()), 2)),
        ("days", pa.list_(pa.date32())),
        ("pair", pa.struct([("x", pa.float64())])),
    ]
)


def _find(inputs, renames=None, vector=None, schema=SCHEMA):
    return point_columns(inputs, schema, renames or {}, vector, "dataset /d", "net")


def _problems(*arguments, **options):
    with pytest.raises(UsageError) as caught:
        _find(*arguments, **options)
    return caught.value.problems


def test_point_columns_renamed_and_plain_inputs_are_found():
    found = _find(["q", "a.b"], {"a.b": "safety factor"})
    assert found == PointColumns(("q", "a.b"), ("q", "safety factor"), False)


def test_point_columns_every_missing_column_is_named_with_the_closest_and_the_mend():
    assert _problems(["ati", "zeta", "b"], {"b": "safety_factor"}) == (
        "network 'net' expects input 'ati'; dataset /d has no such column (closest: 'Ati'); "
        "rename with dataset.columns={ati: <column>}",
        "network 'net' expects input 'zeta'; dataset /d has no such column (there are: Ati, "
        "safety factor, q, when, raw, point, points, days and 1 more); "
        "rename with dataset.columns={zeta: <column>}",
        "network 'net' expects input 'b' as 'safety_factor'; dataset /d has no such column "
        "(closest: 'safety factor'); rename with dataset.columns={b: <column>}",
    )


def test_point_columns_rename_of_no_input_is_refused_with_the_closest():
    (problem,) = _problems(["q"], {"Q2": "Ati"})
    assert "dataset.columns renames 'Q2', which is no input of network 'net'" in problem
    assert "(closest: 'q')" in problem
    assert problem.endswith("its inputs are q")


def test_point_columns_vector_and_renames_exclude_each_other():
    (problem,) = _problems(["x", "y"], {"x": "Ati"}, "point")
    assert "dataset.vector" in problem
    assert "dataset.columns" in problem


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("when", "is timestamp[us], which is no number; cast it to one"),
        ("raw", "is binary, which is no number; cast it to one"),
        ("pair", "is struct<x: double>, which is no number; cast it to one"),
        ("point", "if it holds whole points, say dataset.vector=<column>"),
    ],
)
def test_point_columns_column_of_no_numbers_is_refused_with_the_mend(column, said):
    (problem,) = _problems(["q", "b"], {"b": column})
    assert problem.startswith(f"column '{column}' of dataset /d ")
    assert problem.endswith(said)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("q", "is string; dataset.vector needs a list or tensor column"),
        ("point", "holds 2 numbers; the network has 3 inputs"),
        ("points", "holds lists of lists; nested ones must have fixed sizes"),
        ("days", "is date32[day], which is no number; cast it to one"),
    ],
)
def test_point_columns_vector_of_another_kind_is_refused_with_the_reason(column, said):
    assert _problems(["x", "y", "z"], vector=column) == (f"column '{column}' of dataset /d {said}",)


def test_point_columns_missing_vector_is_refused_with_the_closest():
    assert _problems(["x", "y"], vector="Point") == (
        "dataset.vector names 'Point'; dataset /d has no such column (closest: 'point')",
    )


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.int8()),
        pa.list_(pa.bool_(), 6),
        pa.list_(pa.list_(pa.string(), 2), 3),
        pa.list_(pa.decimal128(5, 2)),
        pa.fixed_shape_tensor(pa.float16(), [3, 2]),
    ],
    ids=str,
)
def test_point_columns_vector_of_numbers_is_accepted(kind):
    inputs = [f"x{i}" for i in range(6)]
    found = _find(inputs, vector="v", schema=pa.schema([("v", kind)]))
    assert found == PointColumns(tuple(inputs), ("v",), True)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.float16(),
        pa.bool_(),
        pa.null(),
        pa.decimal32(5, 2),
        pa.decimal256(60, 2),
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int16(), pa.string()),
        pa.dictionary(pa.int16(), pa.float64()),
    ],
    ids=str,
)
def test_point_columns_column_of_numbers_or_numerals_is_accepted(kind):
    assert _find(["x"], schema=pa.schema([("x", kind)])).columns == ("x",)
