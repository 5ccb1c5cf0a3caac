import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.points import PointColumns, point_columns
from hyperdiag.messages.errors import UsageError

NAMES = ["p", "q", "r", "s"]
WHOLE = [[1.0, 2.0, 3.0, 4.0], None, [-0.0, 0.5, 1e300, 1e-3]]


def _nested(values):
    return [None if value is None else [value[:2], value[2:]] for value in values]


def _tensor(values, shape):
    storage = pa.array(values, pa.list_(pa.float64(), 4))
    kind = pa.fixed_shape_tensor(pa.float64(), shape)
    return pa.FixedShapeTensorArray.from_storage(kind, storage)


VECTORS = {
    "list": pa.array(WHOLE, pa.list_(pa.float64())),
    "large_list": pa.array(WHOLE, pa.large_list(pa.float64())),
    "fixed_size_list": pa.array(WHOLE, pa.list_(pa.float64(), 4)),
    "nested_fixed": pa.array(_nested(WHOLE), pa.list_(pa.list_(pa.float64(), 2), 2)),
    "tensor": _tensor(WHOLE, [4]),
    "tensor_2x2": _tensor(WHOLE, [2, 2]),
    "list_of_text": pa.array([v and list(map(repr, v)) for v in WHOLE], pa.list_(pa.string())),
}


def _read(column, dtype="float64", inputs=NAMES):
    return PointColumns(inputs, ["v"], True).read(pa.table({"v": column}), dtype)


@pytest.mark.parametrize("kind", VECTORS)
def test_read_vector_of_any_kind_takes_whole_points_and_marks_null_rows(kind):
    points, faults = _read(VECTORS[kind])
    assert list(faults) == [(1, Fault.NULL, "column 'v' is null")]
    assert points.flags.c_contiguous
    np.testing.assert_array_equal(points[[0, 2]], [WHOLE[0], WHOLE[2]])


@pytest.mark.parametrize("kind", VECTORS)
def test_read_vector_sliced_and_in_chunks_takes_the_same_points(kind):
    whole = pa.chunked_array([VECTORS[kind]] * 3)
    points, faults = _read(whole.slice(1, 7))
    assert faults.bad.tolist() == [True, False, False, True, False, False, True]
    np.testing.assert_array_equal(points[~faults.bad], [WHOLE[2], WHOLE[0]] * 2)


@pytest.mark.parametrize("kind", VECTORS)
def test_read_vector_without_rows_gives_no_points(kind):
    points, faults = _read(VECTORS[kind].slice(0, 0))
    assert points.shape == (0, 4)
    assert not list(faults)


@pytest.mark.parametrize("permutation", [[1, 0, 2], [2, 1, 0], [0, 2, 1], [0, 1, 2]])
def test_read_tensor_with_a_permutation_takes_its_entries_in_logical_order(permutation, tmp_path):
    storage = pa.array(np.arange(72.0).reshape(3, 24).tolist(), pa.list_(pa.float64(), 24))
    kind = pa.fixed_shape_tensor(pa.float64(), [2, 3, 4], permutation=permutation)
    tensors = pa.FixedShapeTensorArray.from_storage(kind, storage)
    names = [f"x{i}" for i in range(24)]
    right = tensors.to_numpy_ndarray().reshape(3, 24)  # Arrow's own reading of the permutation
    # As it comes out of a file, and sliced.
    pq.write_table(pa.table({"v": tensors}), tmp_path / "t.parquet")
    column = pq.read_table(tmp_path / "t.parquet")["v"]
    np.testing.assert_array_equal(_read(column, inputs=names)[0], right)
    np.testing.assert_array_equal(_read(column.slice(1), inputs=names)[0], right[1:])


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (0, 3, 1, 2)])
def test_tensor_whose_permutation_readers_differ_on_is_refused(axes):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 2, 3, 4)).transpose(axes))
    inputs = [f"x{i}" for i in range(24)]
    with pytest.raises(UsageError, match=r"permutation is not its own inverse.*ascontiguousarray"):
        point_columns(inputs, pa.schema([("v", tensors.type)]), {}, "v", "rows", "net")


def test_read_transposed_array_written_as_tensors_is_that_array():
    array = np.arange(24.0).reshape(4, 2, 3).transpose(0, 2, 1)
    points, _ = _read(pa.FixedShapeTensorArray.from_numpy_ndarray(array), inputs=[*"abcdef"])
    np.testing.assert_array_equal(points, array.reshape(4, 6))


def test_read_permuted_tensor_names_the_input_of_a_bad_entry():
    kind = pa.fixed_shape_tensor(pa.float64(), [2, 2], permutation=[1, 0])
    storage = pa.array([[1.0, math.nan, 3.0, 4.0], None], pa.list_(pa.float64(), 4))
    points, faults = _read(pa.FixedShapeTensorArray.from_storage(kind, storage))
    assert next(iter(faults)) == (0, Fault.NAN, "input 'r' (in column 'v') is NaN")
    assert points[0, [0, 1, 3]].tolist() == [1.0, 3.0, 4.0]


def test_read_permuted_tensors_in_lists_takes_each_in_logical_order():
    kind = pa.fixed_shape_tensor(pa.float64(), [2, 3], permutation=[1, 0])
    storage = pa.array(np.arange(24.0).reshape(4, 6).tolist(), pa.list_(pa.float64(), 6))
    tensors = pa.FixedShapeTensorArray.from_storage(kind, storage)
    names = [f"x{i}" for i in range(12)]
    points, _ = _read(pa.FixedSizeListArray.from_arrays(tensors, 2), inputs=names)
    np.testing.assert_array_equal(points, tensors.to_numpy_ndarray().reshape(2, 12))


@pytest.mark.parametrize("kind", ["list", "large_list"])
def test_read_vector_of_another_width_is_refused_with_both_widths(kind):
    values = [[1.0], [1.0, 2.0, 3.0, 4.0], [], [0.0] * 5, None]
    points, faults = _read(pa.array(values, VECTORS[kind].type))
    assert list(faults) == [
        (0, Fault.WRONG_WIDTH, "column 'v' has 1 elements, not 4"),
        (2, Fault.WRONG_WIDTH, "column 'v' has 0 elements, not 4"),
        (3, Fault.WRONG_WIDTH, "column 'v' has 5 elements, not 4"),
        (4, Fault.NULL, "column 'v' is null"),
    ]
    assert points[1].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_read_vector_bad_element_names_its_input_and_the_first_of_a_row_counts():
    values = [
        [1.0, math.nan, None, 4.0],
        [1.0, 2.0, None, math.inf],
        [1.0, 2.0, 3.0, -math.inf],
        [1.0, 2.0, 3.0, 4.0],
        [1e39, 2.0, 3.0, 4.0],
    ]
    points, faults = _read(pa.array(values), "float32")
    assert list(faults) == [
        (0, Fault.NAN, "input 'q' (in column 'v') is NaN"),
        (1, Fault.NULL, "input 'r' (in column 'v') is null"),
        (2, Fault.INFINITE, "input 's' (in column 'v') is infinite"),
        (4, Fault.OVERFLOW, "input 'p' (in column 'v') is too large for float32"),
    ]
    assert points[3].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_read_vector_of_bad_elements_alone_takes_no_steps_of_all_rows_for_each(monkeypatch):
    """Or a shard of such rows takes so long that its worker is held to be hung."""
    values = np.full((64, 100), math.nan)
    values[::2, 0] = math.inf
    values[1::4, :7] = 0.0
    masks = []
    add = Faults.add
    monkeypatch.setattr(Faults, "add", lambda *given: (masks.append(given[1].size), add(*given)))
    names = [f"x{i}" for i in range(100)]
    _, faults = _read(pa.array(values.tolist()), inputs=names)
    what = [(Fault.INFINITE, "x0", "infinite"), (Fault.NAN, "x7", "NaN")]
    what += [what[0], (Fault.NAN, "x0", "NaN")]
    assert list(faults) == [
        (row, code, f"input '{name}' (in column 'v') is {said}")
        for row, (code, name, said) in enumerate(what * 16)
    ]
    assert sum(masks) < 10 * values.size


def test_read_vector_of_text_refuses_the_text_that_is_no_number():
    _, faults = _read(pa.array([["1", "2", "it", "4"]]))
    assert list(faults) == [(0, Fault.NOT_A_NUMBER, "input 'r' (in column 'v') is the text 'it'")]


def test_read_nested_vector_with_a_null_row_inside_refuses_that_point_alone():
    kind = pa.list_(pa.list_(pa.list_(pa.float64(), 1), 2), 2)
    values = [
        [[[1.0], [2.0]], [[3.0], [4.0]]],
        [[[1.0], [2.0]], None],
        None,
        [[[1.0], None], [[3.0], [4.0]]],
        [[[5.0], [6.0]], [[7.0], [None]]],
        [[[5.0], [6.0]], [[7.0], [8.0]]],
    ]
    points, faults = _read(pa.array(values, kind))
    assert {row: code for row, code, _ in faults} == dict.fromkeys([1, 2, 3, 4], Fault.NULL)
    assert points[[0, 5]].tolist() == [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


def test_read_vector_where_every_row_is_bad_marks_them_all():
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 4)):
        _, faults = _read(pa.nulls(3, kind))
        assert faults.codes() == ["null"] * 3


@given(data=st.data(), width=st.integers(1, 4))
def test_read_vector_of_any_rows_agrees_with_a_reading_row_by_row(data, width):
    element = st.none() | st.floats(allow_subnormal=False)
    rows = data.draw(st.lists(st.none() | st.lists(element, max_size=width + 1), max_size=10))
    rows += [[0.25] * width]
    points, faults = _read(pa.array(rows, pa.list_(pa.float64())), inputs=NAMES[:width])
    codes = {row: code for row, code, _ in faults}
    for number, row in enumerate(rows):
        if row is None:
            assert codes[number] == "null"
        elif len(row) != width:
            assert codes[number] == "wrong_width"
        else:
            first = next((x for x in row if x is None or not math.isfinite(x)), 0.0)
            if first is None:
                assert codes[number] == "null"
            elif not math.isfinite(first):
                assert codes[number] == ("nan" if math.isnan(first) else "infinite")
            else:
                assert number not in codes
                assert points[number].tolist() == row
