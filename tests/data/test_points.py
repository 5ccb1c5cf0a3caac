import decimal
import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.points import PointColumns, count_outside, fill_bad_rows, refuse_outside

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
FLOATS = st.floats() | st.sampled_from([LARGEST_FLOAT32, -1e39, 1e300, 1e-300, -0.0, math.inf])
NUMERALS = (
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers().map(str)
    | st.from_regex(
        r"[ \t]?[+-]?([0-9]{1,20}\.?[0-9]{0,9}|\.[0-9]{1,5})(e-?[0-9])? ?", fullmatch=True
    )
)
TEXTS = NUMERALS | st.text(max_size=6) | st.sampled_from(["nan", "inf", "1,5", "1e", "0x1", "1_0"])
KINDS = {
    "float64": (pa.float64(), FLOATS),
    "float32": (pa.float32(), st.floats(width=32)),
    "float16": (pa.float16(), st.floats(width=16)),
    "int8": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "null": (pa.null(), st.none()),
    "decimal": (
        pa.decimal128(9, 4),
        st.integers(-(10**9) + 1, 10**9 - 1).map(lambda i: decimal.Decimal(i).scaleb(-4)),
    ),
    "text": (pa.string(), TEXTS),
    "large text": (pa.large_string(), TEXTS),
    "text view": (pa.string_view(), TEXTS),
    "dictionary of text": (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    "dictionary of floats": (pa.dictionary(pa.int32(), pa.float64()), FLOATS),
}


def _reference(value, dtype):
    """What one cell is: a number of `dtype`, or a code."""
    if value is None:
        return Fault.NULL
    if isinstance(value, str):
        stripped = value.strip(" \t\n\r\f")
        if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", stripped, re.ASCII):
            return Fault.NOT_A_NUMBER
        value = float(stripped)
        if math.isinf(value):
            return Fault.OVERFLOW  # a finite number, written out
    value = float(value)
    if math.isnan(value):
        return Fault.NAN
    if math.isinf(value):
        return Fault.INFINITE
    with np.errstate(over="ignore"):
        number = np.dtype(dtype).type(value)
    return number if np.isfinite(number) else Fault.OVERFLOW


def _array(values, kind):
    if pa.types.is_float16(kind):
        values = [None if value is None else np.float16(value) for value in values]
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_read_column_of_any_kind_agrees_with_a_reading_cell_by_cell(kind, dtype, data):
    arrow, values = KINDS[kind]
    cells = data.draw(st.lists(st.none() | values, max_size=12))
    cut = data.draw(st.integers(0, len(cells)))
    column = pa.chunked_array([_array(cells[:cut], arrow), _array(cells[cut:], arrow)], arrow)
    points, faults = PointColumns(["a"], ["a"], False).read(pa.table({"a": column}), dtype)
    expected = [_reference(cell, dtype) for cell in cells]
    assert points.dtype == dtype
    assert points.shape == (len(cells), 1)
    assert {row: code for row, code, _ in faults} == {
        row: code for row, code in enumerate(expected) if isinstance(code, Fault)
    }
    good = [number for number in expected if not isinstance(number, Fault)]
    # Arrow turns a decimal into a float64 with two roundings; all else must be exact.
    ulps = 1 if kind == "decimal" and dtype == "float64" else 0
    found = points[~faults.bad, 0]
    np.testing.assert_array_max_ulp(found, np.array(good, dtype), ulps)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(np.array(good, dtype)))


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400])
def test_read_text_of_a_number_beyond_any_float_is_overflow_not_infinite(text):
    _, faults = PointColumns(["a"], ["a"], False).read(pa.table({"a": [text]}), "float64")
    assert faults.codes() == ["overflow"]


def test_read_null_inside_a_dictionary_is_null():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([1.5, None]))
    points, faults = PointColumns(["a"], ["a"], False).read(pa.table({"a": column}), "float64")
    assert [(row, code) for row, code, _ in faults] == [(1, "null")]
    assert points[0] == 1.5


def test_read_columns_takes_them_in_the_networks_order_and_leaves_the_rest():
    table = pa.table({"y": [1.0, 2.0], "other": ["a", None], "x": pa.array([3, 4], pa.int8())})
    points, faults = PointColumns(["p", "q"], ["x", "y"], False).read(table, "float32")
    assert points.tolist() == [[3.0, 1.0], [4.0, 2.0]]
    assert points.flags.c_contiguous
    assert not faults.bad.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kinds", [("float32", "float32"), ("float64", "float32")])
def test_read_columns_of_floats_in_chunks_and_slices_keeps_rows_and_bits(kinds, dtype):
    rng = np.random.default_rng(5)
    columns = [rng.normal(size=700).astype(kind) for kind in kinds]
    table = pa.table({"b": columns[1], "a": columns[0], "other": ["-"] * 700})
    table = pa.concat_tables([table.slice(3, 200), table.slice(203, 400)])
    points, faults = PointColumns(("x", "y", "z"), ("a", "b", "a"), False).read(table, dtype)
    wanted = np.stack([columns[0], columns[1], columns[0]], axis=1)[3:603].astype(dtype)
    np.testing.assert_array_equal(points, wanted, strict=True)
    assert points.flags.c_contiguous
    assert points.flags.writeable
    assert not faults.bad.any()


def test_read_faults_name_input_and_column_and_the_first_of_a_row_counts():
    table = pa.table({"x": [None, 1.0, math.nan], "y": ["1", "one", "two"]})
    _, faults = PointColumns(["p", "y"], ["x", "y"], False).read(table, "float32")
    assert list(faults) == [
        (0, Fault.NULL, "input 'p' (column 'x') is null"),
        (1, Fault.NOT_A_NUMBER, "input 'y' is the text 'one'"),
        (2, Fault.NAN, "input 'p' (column 'x') is NaN"),
    ]


def test_read_long_text_is_cut_in_the_detail():
    _, faults = PointColumns(["a"], ["a"], False).read(pa.table({"a": ["z" * 10_000]}), "float32")
    assert "zzz" in faults.details()[0]
    assert len(faults.details()[0]) < 100


def test_fill_bad_rows_copies_a_good_row_over_them():
    points = np.array([[np.nan, 1.0], [2.0, 3.0], [np.inf, 4.0]])
    fill_bad_rows(points, np.array([True, False, True]))
    assert points.tolist() == [[2.0, 3.0]] * 3


def test_fill_bad_rows_without_a_good_one_writes_zeros():
    points = np.full((2, 2), np.nan)
    fill_bad_rows(points, np.array([True, True]))
    assert points.tolist() == [[0.0, 0.0]] * 2


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.booleans()), max_size=20))
def test_count_outside_any_points_counts_good_rows_beyond_the_ranges(rows):
    points = np.array([row[:2] for row in rows]).reshape(-1, 2)
    bad = np.array([row[2] for row in rows], dtype=bool)
    expected = sum(not (-1 <= a <= 1 and b <= 2) for a, b, broken in rows if not broken)
    assert count_outside(points, np.array([-1, -np.inf]), np.array([1.0, 2.0]), bad) == expected


def test_count_outside_end_of_a_range_rounded_to_float32_is_inside():
    low, high = np.array([-0.1]), np.array([0.1])  # both round away from zero
    ends = np.array([[-0.1], [0.1]], dtype=np.float32)
    beyond = np.nextafter(ends, np.array([[-1], [1]], dtype=np.float32))
    none = np.zeros(2, dtype=bool)
    assert count_outside(ends, low, high, none) == 0
    assert count_outside(beyond, low, high, none) == 2


def test_count_outside_range_wider_than_float32_is_no_trouble():
    points = np.array([[1.0], [-1.0]], dtype=np.float32)
    assert count_outside(points, np.array([0.0]), np.array([1e300]), np.zeros(2, dtype=bool)) == 1


def test_refuse_outside_names_input_value_and_range_and_keeps_earlier_faults():
    points = np.array([[0.5, 9.0], [-2.0, 5.0], [-2.0, 0.0]])
    faults = Faults(3)
    faults.add(np.array([False, False, True]), Fault.NULL, "is null")
    refuse_outside(points, np.array([-1.0, -np.inf]), np.array([1.0, 6.0]), ["p", "q"], faults)
    assert list(faults) == [
        (0, Fault.OUT_OF_RANGE, "input 'q' is 9, outside its trained range [-inf, 6]"),
        (1, Fault.OUT_OF_RANGE, "input 'p' is -2, outside its trained range [-1, 1]"),
        (2, Fault.NULL, "is null"),
    ]
