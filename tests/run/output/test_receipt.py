import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperdiag.run.output.receipt import Receipt, Tally, extremes

NAMES = ("value", "jacobian", "hessian_diag")


def _rows_side_by_side(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)


def _tally(rows, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) for shape in ((rows, 2), (rows, 2, 3), (rows, 2, 3))]
    if seed % 2:  # the rows of each number side by side in memory
        arrays = [_rows_side_by_side(array) for array in arrays]
    tally = Tally(read=rows + 2, derived=rows, filtered=1)
    tally.quarantined["nan"] += 1
    arrays[2][::2] = 0
    named = dict(zip(NAMES, arrays, strict=True))
    tally.add_ranges(named, extremes(named))
    return tally, arrays


@given(st.lists(st.integers(0, 5) | st.sampled_from([63, 64, 65, 200]), min_size=1, max_size=5))
def test_tallies_added_up_are_those_of_all_rows_at_once(sizes):
    total = Tally()
    everything = [[], [], []]
    for seed, rows in enumerate(sizes):
        tally, arrays = _tally(rows, seed)
        total.add(tally)
        for held, array in zip(everything, arrays, strict=True):
            held.append(array)
    assert (total.derived, total.filtered, total.bad) == (sum(sizes), len(sizes), len(sizes))
    flat = sum(-(-rows // 2) for rows in sizes)
    assert total.flat == [flat, flat]
    for name, held in zip(NAMES, everything, strict=True):
        if sum(sizes) == 0:
            assert total.ranges == {}
            continue
        array = np.concatenate(held).reshape(sum(sizes), 2, -1)
        assert total.ranges[name] == [
            array.min(axis=(0, 2)).tolist(),
            array.max(axis=(0, 2)).tolist(),
        ]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("placed", [np.copy, _rows_side_by_side])
def test_extremes_show_a_number_that_is_not_finite(number, placed):
    array = placed(np.ones((200, 2, 3), dtype=np.float32))
    assert np.isfinite(extremes({"jacobian": array})["jacobian"]).all()
    for row in (0, 63, 64, 199):
        array[row, 1, 2] = number
        ends = extremes({"jacobian": array})["jacobian"]
        assert np.isfinite(ends[:, 0]).all()
        assert not np.isfinite(ends[:, 1]).all()
        array[row, 1, 2] = 1


def test_receipt_through_a_footer_keeps_everything_but_the_seconds():
    tally, _ = _tally(3, 1)
    receipt = Receipt(7, tally, {"read": 1.0})
    footer = json.loads(json.dumps(receipt.to_footer("key")))
    assert (footer["key"], footer["shard"]) == ("key", 7)
    assert Receipt.from_footer(footer, (10, 20)) == Receipt(7, tally, stamp=(10, 20))
