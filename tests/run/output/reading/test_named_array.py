import sys

import numpy as np
import pandas
import pyarrow as pa
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.output.reading.named_array import NamedArray

VALUES = np.arange(24.0, dtype=np.float32).reshape(4, 2, 3)
ARRAY = NamedArray(
    VALUES, ("row", "output", "input"), {"output": ("price", "iv"), "input": ("spot", "vol", "r")}
)


def test_parts_by_name_are_those_by_position():
    both = ARRAY.sel(output="iv", input="vol")
    assert (both.dims, both.coords) == (("row",), {})
    np.testing.assert_array_equal(both.values, VALUES[:, 1, 1])
    some = ARRAY.sel(input=["r", "spot"])
    assert some.dims == ARRAY.dims
    assert some.coords == {"output": ("price", "iv"), "input": ("r", "spot")}
    np.testing.assert_array_equal(some.values, VALUES[:, :, [2, 0]])
    np.testing.assert_array_equal(some.sel(output="price", input="r"), VALUES[:, 0, 2])
    assert ARRAY.sel() is ARRAY
    total = ARRAY.sum("row").sel(output="iv", input="vol")
    assert f"{total:.1f}" == f"{VALUES[:, 1, 1].sum():.1f}"


def test_numpy_takes_it_for_an_array():
    assert np.asarray(ARRAY) is VALUES
    assert np.asarray(ARRAY, np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(ARRAY), VALUES)
    np.testing.assert_array_equal(np.abs(ARRAY).max(axis=0), VALUES[3])
    assert (len(ARRAY), ARRAY.shape, ARRAY.dtype) == (4, (4, 2, 3), np.float32)
    assert repr(ARRAY) == "NamedArray(row: 4, output: 2, input: 3; float32)"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"output": "prize"}, "no output 'prize' (closest: 'price')"),
        ({"input": ["spot", "zzz"]}, "no input 'zzz' (there are: spot, vol, r)"),
        ({"ouput": "price"}, "no axis 'ouput' (closest: 'output')"),
        ({"row": "3"}, "rows have no names: take them from .values, by their numbers"),
    ],
)
def test_name_that_is_not_there_is_said_with_the_closest(names, said):
    with pytest.raises(UsageError) as caught:
        ARRAY.sel(**names)
    assert str(caught.value) == said


ROWS, OUTPUTS, INPUTS = 50, ("price", "iv", "pv"), ("spot", "vol")


def _of(dims, seed, **coords):
    coords = {"output": OUTPUTS, "input": INPUTS} | coords
    coords = {dim: coords[dim] for dim in dims if dim != "row"}
    sizes = [ROWS if dim == "row" else len(coords[dim]) for dim in dims]
    values = np.random.default_rng(seed).uniform(0.5, 2, sizes).astype(np.float32)
    return NamedArray(values, dims, coords)


JACOBIAN, VALUE = _of(("row", "output", "input"), 0), _of(("row", "output"), 1)
WEIGHTS = _of(("input",), 2, input=("vol", "spot"))  # in another order
TURNED = _of(("output", "row"), 3)


@pytest.mark.parametrize(
    "formula",
    [
        lambda j, v, w, t: j / v,
        lambda j, v, w, t: v + j,
        lambda j, v, w, t: j * w - 2 * t,
        lambda j, v, w, t: w * j,
        lambda j, v, w, t: t**2 - v,
        lambda j, v, w, t: 2.0**v,
        lambda j, v, w, t: 1 / -abs(j),
        lambda j, v, w, t: j // 0.3 + j % 0.3,
        lambda j, v, w, t: (j > v) | (j <= w),
        lambda j, v, w, t: (v == t) == (v != v),
        lambda j, v, w, t: np.exp(np.abs(j)) + np.log(v),
        lambda j, v, w, t: np.maximum(j, w),
        lambda j, v, w, t: np.float64(3) * j,
        lambda j, v, w, t: j.sel(input="vol") * w.sel(input="vol") / v,
    ],
)
def test_arithmetic_goes_by_names_as_that_of_xarray(formula):
    xarray = pytest.importorskip("xarray")
    arrays = JACOBIAN, VALUE, WEIGHTS, TURNED
    found = formula(*arrays)
    right = formula(*(array.to_xarray() for array in arrays)).reset_coords(drop=True)
    assert (found.dims, found.shape, found.dtype) == (right.dims, right.shape, right.dtype)
    for dim, names in found.coords.items():
        right = right.sel({dim: list(names)})
    xarray.testing.assert_equal(found.to_xarray(), right)


def test_plain_arrays_go_by_position_and_add_no_axis():
    np.testing.assert_array_equal((JACOBIAN * [2, 3]).values, JACOBIAN.values * [2, 3])
    frame = pandas.DataFrame(VALUE.values)
    for product in (VALUE * frame, VALUE * pa.array([1, 2, 3])):
        assert (type(product), type(product.values)) == (NamedArray, np.ndarray)
    turned = np.arange(3.0)[:, None] - JACOBIAN
    assert (turned.dims, turned.coords) == (JACOBIAN.dims, JACOBIAN.coords)
    np.testing.assert_array_equal(turned.values, np.arange(3.0)[:, None] - JACOBIAN.values)
    for other in (np.ones(3), np.ones((2, 50, 3, 2)), np.ones((7, 3, 2))):
        with pytest.raises(UsageError, match="does not go with axes row: 50, output: 3, input: 2"):
            JACOBIAN + other
    one = JACOBIAN.sel(input=["vol"])
    with pytest.raises(UsageError, match="does not go with"):  # nor lengthens one
        one + np.ones(2)


def test_axes_that_do_not_belong_together_are_named():
    other = _of(("row", "output"), 4, output=("price", "iv", "vega"))
    with pytest.raises(
        UsageError, match=r"'output' has price, iv, pv in one .* price, iv, vega in"
    ):
        VALUE - other
    less = NamedArray(VALUE.values[:7], VALUE.dims, VALUE.coords)
    with pytest.raises(UsageError, match="'row' has 50 positions in one array and 7 in another"):
        JACOBIAN * less
    array = VALUE
    with pytest.raises(UsageError, match="not changed in place"):
        array += 1


@pytest.mark.parametrize("name", ["sum", "mean", "std", "min", "max"])
@pytest.mark.parametrize("axis", ["row", "input", ("input", "row"), ("row", "output", "input"), 1])
def test_reductions_over_named_axes_are_those_of_wider_numbers(name, axis):
    xarray = pytest.importorskip("xarray")
    found = getattr(JACOBIAN, name)(axis)
    wide = JACOBIAN.to_xarray().astype(np.float64)
    dims = JACOBIAN.dims[axis] if isinstance(axis, int) else axis
    right = getattr(wide, name)(dims)
    xarray.testing.assert_allclose(
        found.to_xarray() if right.dims else xarray.DataArray(found), right, rtol=1e-14
    )
    again = getattr(np, name)(JACOBIAN, axis=axis)  # as NumPy calls it
    np.testing.assert_array_equal(again, found)


def test_means_of_many_float32_numbers_keep_their_digits():
    values = np.full((1_000_000, 1), 0.1, np.float32)
    array = NamedArray(values, ("row", "output"), {"output": ("u",)})
    assert array.mean("row").values == pytest.approx(np.float32(0.1).item(), rel=1e-12)
    assert array.std() < 1e-12
    assert array.sum(dtype=np.float32).dtype == np.float32
    with pytest.raises(UsageError, match=r"no axis 'rows' \(closest: 'row'\)"):
        array.mean("rows")


def test_texts_are_compared_and_none_is_a_truth_of_many():
    ranks = ("1", "2")
    names = np.array([["spot", "vol"], ["vol", "spot"]], object)
    array = NamedArray(names, ("row", "rank"), {"rank": ranks})
    first = (array == "spot").sel(rank="1")
    np.testing.assert_array_equal(first.values, [True, False])
    with pytest.raises(ValueError, match="ambiguous"):
        assert array == array
    assert np.all(array == array)
    assert not np.any(JACOBIAN > 2)
    np.testing.assert_array_equal(np.add.reduce(VALUE), VALUE.values.sum(axis=0))
    np.testing.assert_array_equal(TURNED @ VALUE, TURNED.values @ VALUE.values)


def test_xarray_has_the_same_parts_by_the_same_names():
    pytest.importorskip("xarray")
    array = ARRAY.to_xarray()
    assert array.dims == ARRAY.dims
    np.testing.assert_array_equal(array.values, VALUES)
    part = array.sel(output="price", input=["r", "spot"])
    np.testing.assert_array_equal(part, ARRAY.sel(output="price", input=["r", "spot"]))


def test_without_xarray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UsageError, match="pip install xarray"):
        ARRAY.to_xarray()
