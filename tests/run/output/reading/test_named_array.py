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
        ({"output": 0}, "no output 0 (there are: price, iv)"),
        ({"output": None}, "no output None (there are: price, iv)"),
        ({"input": ["spot", 1]}, "no input 1 (there are: spot, vol, r)"),
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
    clipped = np.clip(VALUE, a_min=frame, a_max=[1, 2, 3])
    assert (type(clipped), type(clipped.values)) == (NamedArray, np.ndarray)
    np.testing.assert_array_equal(clipped.values, np.clip(VALUE.values, VALUE.values, [1, 2, 3]))
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


TRUTHS = JACOBIAN > 0.52  # some of the many are not, and of the few along an axis mostly all


@pytest.mark.parametrize("name", ["any", "all"])
@pytest.mark.parametrize("array", [TRUTHS, JACOBIAN < 0.55])
@pytest.mark.parametrize("axis", [None, "row", "input", ("output", "input")])
def test_whether_any_or_all_are_true_is_as_xarray_says(name, array, axis):
    xarray = pytest.importorskip("xarray")
    found = getattr(array, name)(axis)
    right = getattr(array.to_xarray(), name)(axis)
    xarray.testing.assert_equal(
        found.to_xarray() if right.dims else xarray.DataArray(found), right.astype(bool)
    )
    np.testing.assert_array_equal(getattr(np, name)(array, axis=axis), found)


@pytest.mark.parametrize(
    "name",
    ["amax", "amin", "median", "prod", "var", "nanmax", "nanmean", "nanmin", "nansum", "sum"],
)
@pytest.mark.parametrize("axis", [None, "row", ("input", "output"), -1])
def test_functions_over_axes_are_those_of_numpy_over_their_positions(name, axis):
    values = JACOBIAN.values.copy()
    if name.startswith("nan"):
        values[3:40:5, 1, 0] = np.nan
    array = NamedArray(values, JACOBIAN.dims, JACOBIAN.coords)
    found = getattr(np, name)(array, axis)
    by_position = {"row": 0, ("input", "output"): (2, 1)}.get(axis, axis)
    right = getattr(np, name)(values.astype(np.float64), axis=by_position)
    np.testing.assert_allclose(np.asarray(found), right, rtol=1e-14 if name != "median" else 1e-7)
    left = {None: None, "row": ("output", "input"), -1: ("row", "output")}.get(axis, ("row",))
    assert getattr(found, "dims", None) == left


def test_options_of_functions_over_axes():
    positive = JACOBIAN > 1
    right = np.sum(JACOBIAN.values, axis=0, where=positive.values, dtype=np.float64)
    for mask in (positive, positive.values):
        np.testing.assert_array_equal(np.sum(JACOBIAN, axis="row", where=mask), right)
    assert np.sum(JACOBIAN, "row", np.float32).dtype == np.float32
    assert JACOBIAN.sum("row", dtype=np.dtype("float32")).dtype == np.float32
    assert np.add(JACOBIAN, 1, dtype=np.float64).dtype == np.float64
    deviations = JACOBIAN.std("row", ddof=1)
    np.testing.assert_allclose(
        deviations, np.std(JACOBIAN.values.astype(np.float64), axis=0, ddof=1), rtol=1e-14
    )
    for refused, said in (
        (lambda: np.sum(JACOBIAN, where=VALUE > 1), r"sum\(\) goes by position, and axes or names"),
        (lambda: np.mean(JACOBIAN, axis=0, keepdims=True), "no keepdims: axes go by name"),
        (lambda: np.min(VALUE, axis=0, out=np.empty(3)), "and no out="),
        (lambda: np.median(VALUE, axis="rows"), "no axis 'rows'"),
    ):
        with pytest.raises(UsageError, match=said):
            refused()


REVERSED = _of(("row", "output"), 5, output=OUTPUTS[::-1])
HOLES = NamedArray(np.where(VALUE.values > 1, VALUE.values, np.nan), VALUE.dims, VALUE.coords)


@pytest.mark.parametrize(
    ("formula", "same"),
    [
        (
            lambda: np.where(REVERSED > 1, REVERSED, VALUE),
            lambda xr, r, v, j: xr.where(r > 1, r, v.reindex_like(r)),
        ),
        (
            lambda: np.where(VALUE > 1, JACOBIAN, 0),
            lambda xr, r, v, j: xr.where(v > 1, j, np.float32(0)),
        ),
        (lambda: np.clip(VALUE, 0.8, 1.2), lambda xr, r, v, j: v.clip(0.8, 1.2)),
        (
            lambda: np.clip(VALUE, a_min=None, a_max=REVERSED),
            lambda xr, r, v, j: v.clip(max=r.reindex_like(v)),
        ),
        (lambda: np.round(JACOBIAN, 2), lambda xr, r, v, j: j.round(2)),
        (lambda: np.around(JACOBIAN), lambda xr, r, v, j: j.round()),
        (lambda: np.nan_to_num(HOLES, nan=7), lambda xr, r, v, j: v.where(v > 1, np.float32(7))),
        (
            lambda: np.isclose(VALUE, REVERSED, atol=0.3),
            lambda xr, r, v, j: abs(v - r.reindex_like(v)) <= 0.3 + 1e-5 * abs(r.reindex_like(v)),
        ),
    ],
)
def test_functions_of_single_numbers_go_by_names_as_those_of_xarray(formula, same):
    xarray = pytest.importorskip("xarray")
    found = formula()
    right = same(xarray, *(array.to_xarray() for array in (REVERSED, VALUE, JACOBIAN)))
    assert (type(found), found.dtype) == (NamedArray, right.dtype)
    xarray.testing.assert_equal(found.to_xarray(), right.transpose(*found.dims))


def test_arrays_are_close_by_names():
    turned = VALUE.sel(output=OUTPUTS[::-1])
    assert np.allclose(VALUE, turned) is True
    assert not np.allclose(VALUE.values, turned.values)
    assert not np.allclose(VALUE, turned + 0.1)
    assert np.allclose(VALUE, VALUE.values + 0.1, atol=0.2)


@pytest.mark.parametrize(
    "function",
    [
        lambda v, j: np.quantile(v, [0.1, 0.5], axis=0),
        lambda v, j: np.einsum("roi,roi->ri", j, j),
        lambda v, j: np.linalg.norm(j, axis=-1),
        lambda v, j: np.concatenate([v, v[:7] if isinstance(v, np.ndarray) else LESS]),
        lambda v, j: np.stack((v, v), axis=-1),
        lambda v, j: np.add.reduce(j, axis=1),
        lambda v, j: np.subtract.outer(v, v),
        lambda v, j: np.matmul(j, np.ones(2)),
        lambda v, j: np.where(v > 1)[0],
        lambda v, j: np.histogram(v, 5)[0],
        lambda v, j: np.sum(np.ones(v.shape), where=v > 1, axis=0),
    ],
)
def test_other_functions_take_plain_arrays(function):
    found = function(VALUE, JACOBIAN)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, function(VALUE.values, JACOBIAN.values), strict=True)


LESS = NamedArray(VALUE.values[:7], VALUE.dims, VALUE.coords)


@pytest.mark.parametrize(
    ("refused", "function"),
    [
        (lambda: np.concatenate([VALUE, REVERSED]), "concatenate"),
        (lambda: np.array_equal(VALUE, VALUE.sel(output=OUTPUTS[::-1])), "array_equal"),
        (lambda: np.einsum("ro,roi->ri", VALUE, JACOBIAN), "einsum"),
        (lambda: np.dot(TURNED, VALUE), "dot"),
        (lambda: TURNED @ VALUE, "matmul"),
        (lambda: np.add.outer(VALUE, REVERSED), "outer"),
    ],
)
def test_functions_by_position_refuse_arrays_of_other_names(refused, function):
    with pytest.raises(
        UsageError, match=rf"^{function}\(\) goes by position, .*: give it \.values"
    ):
        refused()
    with pytest.raises(UsageError, match=r"quantile\(\) takes axes by position"):
        np.quantile(VALUE, 0.5, axis="row")


def test_arrays_of_xarray_are_not_paired_by_position():
    xarray = pytest.importorskip("xarray")
    other = REVERSED.to_xarray()

    def added():
        total = other.copy()
        total += VALUE

    for refused in (
        lambda: VALUE + other,
        lambda: other + VALUE,
        lambda: np.maximum(other, VALUE),
        lambda: VALUE - other.variable,
        lambda: other <= VALUE,
        lambda: np.where(VALUE > 1, VALUE, other),
        lambda: np.clip(VALUE, a_min=0, a_max=other),
        lambda: np.allclose(VALUE, other),
        lambda: np.array_equal(VALUE, other),
        lambda: np.concatenate([VALUE, other]),
        added,
    ):
        with pytest.raises(UsageError, match=r"paired by position: take to_xarray\(\) of both"):
            refused()
    held = xarray.DataArray(VALUE, dims=("a", "b"))  # has the numbers, and can do all it does
    assert type(held.variable._data) is np.ndarray
    np.testing.assert_array_equal(held.isel(a=0), VALUE.values[0])


def test_names_that_are_there_twice_are_not_guessed():
    xarray = pytest.importorskip("xarray")
    twice, other = ("price", "price", "iv"), ("iv", "iv", "price")
    both = VALUE.sel(output=twice) + VALUE.sel(output=twice)  # of one order: no question
    np.testing.assert_array_equal(both.values, 2 * VALUE.values[:, [0, 0, 1]])
    right = VALUE.to_xarray().sel(output=list(twice)) * 2
    xarray.testing.assert_equal(both.to_xarray(), right)
    for names in (other, ("price", "iv"), ("price", "iv", "iv")):
        with pytest.raises(ValueError, match="duplicate"):
            right + VALUE.to_xarray().sel(output=list(names))
        for pair in ((both, VALUE.sel(output=names)), (VALUE.sel(output=names), both)):
            with pytest.raises(UsageError, match=r"'output' has .* more than once"):
                np.add(*pair)
    with pytest.raises(UsageError, match="'output' has price more than once"):
        both.sel(output="price")
    np.testing.assert_array_equal(both.sel(output="iv"), 2 * VALUE.values[:, 1])


def test_where_of_a_ufunc_is_refused_as_it_leaves_numbers_undefined():
    for mask in (VALUE > 1, VALUE.values > 1):
        with pytest.raises(UsageError, match=r"leaves numbers undefined: write numpy\.where"):
            np.sqrt(VALUE, where=mask)
    np.testing.assert_array_equal(np.sqrt(VALUE, where=True), np.sqrt(VALUE.values))


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
    with pytest.raises(UsageError, match=r"no rank 1 \(closest: '1'\)"):
        array.sel(rank=1)


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
