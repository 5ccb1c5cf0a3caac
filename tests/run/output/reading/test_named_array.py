import sys

import numpy as np
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
