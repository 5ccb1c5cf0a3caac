import re
from itertools import pairwise, product

import numpy as np
import pytest

from hyperdiag.data.quantities import (
    DEFAULT,
    FORMER_SEPARATOR,
    QUANTITIES,
    SEPARATOR,
    row_bytes,
)


@pytest.mark.parametrize(("m", "k"), [(2, 3), (5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_row_bytes_is_the_size_of_the_arrays(m, k, dtype):
    arrays = [np.zeros((7, *shape), dtype) for shape in ((m,), (m, k), (m, k))]
    assert 7 * row_bytes(DEFAULT, m, k, dtype) == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize(
    ("name", "shape", "columns"),
    [
        ("value", (2,), "u v"),
        ("jacobian", (2, 2), "d_u__d_a d_u__d_b d_v__d_a d_v__d_b"),
        ("hessian_diag", (2, 2), "d2_u__d2_a d2_u__d2_b d2_v__d2_a d2_v__d2_b"),
        ("laplacian", (2,), "laplacian_u laplacian_v"),
        (
            "hessian",
            (2, 2, 2),
            "d2_u__d_a__d_a d2_u__d_a__d_b d2_u__d_b__d_a d2_u__d_b__d_b "
            "d2_v__d_a__d_a d2_v__d_a__d_b d2_v__d_b__d_a d2_v__d_b__d_b",
        ),
    ],
)
def test_quantity_has_its_shape_and_columns(name, shape, columns):
    assert QUANTITIES[name].shape(2, 2) == shape
    assert QUANTITIES[name].columns(SEPARATOR, ["u", "v"], ["a", "b"]) == columns.split()


def test_columns_of_the_release_before_keep_their_names():
    names = {
        name: QUANTITIES[name].columns(FORMER_SEPARATOR, ["y_"], ["x1", "x12"])
        for name in QUANTITIES
    }
    assert names == {
        "value": ["y_"],
        "jacobian": ["d_y__d_x1", "d_y__d_x12"],
        "hessian_diag": ["d2_y__d_x12", "d2_y__d_x122"],
        "laplacian": ["laplacian_y_"],
        "hessian": [f"d2_y__d_x{i}_d_x{j}" for i in (1, 12) for j in (1, 12)],
    }


def _taken_apart(column):
    """Return the signs and the names that a column's name is made of, by its grammar alone."""
    part = re.compile(r"(d2?|laplacian)_((?:_x005F_|(?!__)(?s:.))+)(?:__|$)")
    signs, names, at = (), (), 0
    while at < len(column):
        match = part.match(column, at)
        signs += (match[1],)
        names += (match[2].replace("_x005F_", "_"),)
        at = match.end()
    return signs, names


def test_names_of_columns_can_be_taken_apart_whatever_outputs_and_inputs_are_called():
    pieces = ["_", "d", "2", "x005F", "y"]
    names = ["".join(name) for size in (1, 2, 3, 4) for name in product(pieces, repeat=size)]
    names += ["a_d_b", "a__d2_b", "ä b", "T.e", "laplacian_y", "_x005f_", "x_x005F_y", "\n"]
    for name, partner in [*pairwise(names), *pairwise(reversed(names))]:
        for quantity in (each for each in QUANTITIES.values() if each.derivative):
            inputs = (partner, name)[: quantity.axes]
            signs, found = _taken_apart(quantity.column(SEPARATOR, name, *inputs))
            assert (signs, found) == (quantity.signs, (name, *inputs))


def test_usual_names_stand_in_columns_as_they_are():
    for name in ("y1", "spot", "T_e", "gradient_of_q", "_", "d_y"):
        column = QUANTITIES["jacobian"].column(SEPARATOR, "y", name)
        assert column == f"d_y__d_{'_x005F_' if name == '_' else name}"
