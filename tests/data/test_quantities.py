import numpy as np
import pytest

from hyperdiag.data.quantities import DEFAULT, QUANTITIES, row_bytes


@pytest.mark.parametrize(("m", "k"), [(2, 3), (5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_row_bytes_is_the_size_of_the_arrays(m, k, dtype):
    arrays = [np.zeros((7, *shape), dtype) for shape in ((m,), (m, k), (m, k))]
    assert 7 * row_bytes(DEFAULT, m, k, dtype) == sum(array.nbytes for array in arrays)


@pytest.mark.parametrize(
    ("name", "shape", "columns"),
    [
        ("value", (2,), "u v"),
        ("jacobian", (2, 2), "d_u_d_a d_u_d_b d_v_d_a d_v_d_b"),
        ("hessian_diag", (2, 2), "d2_u_d_a2 d2_u_d_b2 d2_v_d_a2 d2_v_d_b2"),
        ("laplacian", (2,), "laplacian_u laplacian_v"),
        (
            "hessian",
            (2, 2, 2),
            "d2_u_d_a_d_a d2_u_d_a_d_b d2_u_d_b_d_a d2_u_d_b_d_b "
            "d2_v_d_a_d_a d2_v_d_a_d_b d2_v_d_b_d_a d2_v_d_b_d_b",
        ),
    ],
)
def test_quantity_has_its_shape_and_columns(name, shape, columns):
    assert QUANTITIES[name].shape(2, 2) == shape
    assert QUANTITIES[name].columns(["u", "v"], ["a", "b"]) == columns.split()
