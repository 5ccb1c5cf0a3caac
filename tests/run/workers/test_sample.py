import numpy as np
import pyarrow as pa
import pytest

from hyperdiag.run.workers.sample import Sample


def _picked(sample):
    return [table["x"][0].as_py() for table in sample.tables]


@pytest.mark.parametrize(("rows", "wanted"), [(1, 4), (3, 4), (100_003, 7), (16_384, 49), (9, 0)])
def test_take_rows_that_are_all_good_picks_them_evenly(rows, wanted):
    sample = Sample(rows, wanted, ["x"])
    for first in range(0, rows, 4096):
        index = np.arange(first, min(first + 4096, rows))
        sample.take(index, pa.table({"x": index}), (index * 2.0,))
    # From the first on, the same distance apart, each once.
    places = sorted({at * rows // wanted for at in range(wanted)})
    assert _picked(sample) == places
    assert [float(array) for (array,) in sample.computed] == [2.0 * place for place in places]


def test_take_where_a_row_is_bad_picks_the_next_good_row():
    sample = Sample(10, 2, ["x"])
    good = np.array([0, 1, 2, 7, 9])  # of the places 0 and 5 the second is bad
    sample.take(good, pa.table({"x": good, "y": good}), (good * 1.0,))
    assert _picked(sample) == [0, 7]
    assert sample.tables[1].column_names == ["x"]
