import pyarrow as pa

from hyperdiag.statistics.importance import strongest_inputs
from hyperdiag.statistics.table import SUMMARY_SCHEMA


def _table(deviations, mean_squares):
    rows = [
        *(("input", None, name, "deviation", value) for name, value in deviations.items()),
        *(("jacobian", *pair, "mean_square", value) for pair, value in mean_squares.items()),
    ]
    names = ("quantity", "output", "input", "statistic", "value")
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    # Those of a group are not looked at.
    rows += [row | {"grouped_by": "desk", "value": 1e9} for row in rows]
    return pa.Table.from_pylist(rows, SUMMARY_SCHEMA)


def test_inputs_are_ordered_by_how_much_they_move_an_output():
    table = _table(
        {"a": 1.0, "b": 10.0, "c": 0.1},
        {("u", "a"): 4.0, ("u", "b"): 0.09, ("u", "c"): 100.0, ("v", "b"): 1.0},
    )
    # Of u: 2, 3 and 1.
    assert strongest_inputs(table, 2) == {"u": ["b", "a"], "v": ["b"]}


def test_input_that_does_nothing_is_not_strong():
    table = _table({"a": 1.0, "b": 0.0}, {("u", "a"): 0.0, ("u", "b"): 7.0})
    assert strongest_inputs(table, 3) == {"u": []}
