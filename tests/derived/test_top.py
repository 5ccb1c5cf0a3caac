import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperdiag.derived.rows import Names, Rows
from hyperdiag.derived.top import Top


def _rows(jacobian, order="C"):
    rows, m, k = jacobian.shape
    inputs, outputs = (tuple(f"{sign}{i}" for i in range(n)) for sign, n in (("i", k), ("y", m)))
    names = Names(inputs, inputs, outputs)
    if order == "rows last":
        jacobian = np.moveaxis(np.ascontiguousarray(np.moveaxis(jacobian, 0, -1)), -1, 0)
    return Rows(names, np.zeros((rows, k)), {"jacobian": jacobian})


@pytest.mark.parametrize("order", ["C", "rows last"])
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 3), st.integers(1, 9))
def test_top_names_what_sorting_each_row_names(order, seed, k, m, count):
    rng = np.random.default_rng(seed)
    jacobian = rng.integers(-3, 4, (11, m, k)).astype(np.float32)  # many are equal, and zero
    deviations = {f"i{at}": float(rng.integers(1, 4)) for at in range(k) if at != 1}
    count = min(count, len(deviations))
    positions, effects = Top(None, deviations, count).arrays(_rows(jacobian, order))
    names = [*deviations]
    for row in range(11):
        for output in range(m):
            moves = [(jacobian[row, output, int(n[1:])] * s, n) for n, s in deviations.items()]
            wanted = sorted(moves, key=lambda move: -abs(move[0]))[:count]  # stable
            assert [names[at] for at in positions[row, output]] == [name for _, name in wanted]
            assert effects[row, output].tolist() == [move for move, _ in wanted]


def test_top_has_a_name_and_an_effect_for_each_rank():
    rows = _rows(np.ones((1, 2, 3)))
    blocks = Top(("y1",), {"i0": 1.0, "i2": 2.0}, 2).blocks(rows.names)
    assert [block.columns for block in blocks] == [
        ["top_y1__rank_1", "top_y1__rank_2"],
        ["top_effect_y1__rank_1", "top_effect_y1__rank_2"],
    ]
    assert blocks[0].labels == ("i0", "i2")
