import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import derivatives

MATRIX = np.random.default_rng(1).standard_normal((3, 4))


def _net(x):
    return jnp.tanh(jnp.asarray(MATRIX, x.dtype) @ x)


@pytest.mark.slow
def test_result_has_the_documented_shapes_and_dtypes():
    bundle = derivatives(_net, 4)
    value, jacobian, hessian_diag = bundle(np.zeros((5, 4)))
    assert (value.shape, jacobian.shape, hessian_diag.shape) == ((5, 3), (5, 3, 4), (5, 3, 4))
    assert {array.dtype for array in (value, jacobian, hessian_diag)} == {np.dtype("float32")}
    assert bundle(np.zeros((5, 4)))._fields == ("value", "jacobian", "hessian_diag")


@pytest.mark.slow
def test_float64_holds_whatever_the_callers_mode():
    assert not jax.config.jax_enable_x64
    x = np.random.default_rng(2).standard_normal((7, 4))
    found = derivatives(_net, 4, dtype="float64")(x)
    t = np.tanh(x @ MATRIX.T)
    assert found.value.dtype == np.float64
    np.testing.assert_allclose(found.value, t, rtol=0, atol=1e-15)
    np.testing.assert_allclose(
        found.hessian_diag, (-2 * t * (1 - t**2))[:, :, None] * MATRIX**2, rtol=0, atol=1e-14
    )
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_float64_after_float32_over_a_numpy_constant_keeps_the_fault_that_is_documented():
    """Fails once JAX is mended: then the warning in `derivatives` can go."""
    fn = lambda x: MATRIX @ x
    single = derivatives(fn, 4, dtype="float32")
    single(np.ones((1, 4)))
    double = derivatives(fn, 4, dtype="float64")(np.ones((1, 4)))
    error = np.abs(np.asarray(double.jacobian)[0] - MATRIX).max()
    assert 1e-9 < error < 1e-7


def test_float32_in_64_bit_mode_stays_float32():
    with jax.enable_x64(True):
        found = derivatives(_net, 4, dtype="float32")(np.zeros((2, 4)))
    assert {array.dtype for array in found} == {np.dtype("float32")}


@pytest.mark.slow
def test_scalar_function_counts_as_one_output():
    found = derivatives(lambda x: jnp.sum(x**3), 2, dtype="float64")(np.array([[1.0, 2.0]]))
    assert found.value.tolist() == [[9.0]]
    assert found.jacobian.tolist() == [[[3.0, 12.0]]]
    assert found.hessian_diag.tolist() == [[[6.0, 12.0]]]


@pytest.mark.slow
def test_one_input_and_no_rows_keep_their_shapes():
    found = derivatives(lambda x: x * x, 1)(np.zeros((0, 1)))
    assert [array.shape for array in found] == [(0, 1), (0, 1, 1), (0, 1, 1)]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("tile", [1, 3, 7, 8, 100])
def test_tile_of_any_size_gives_the_same_numbers(tile):
    x = np.random.default_rng(3).standard_normal((8, 4))
    whole = derivatives(_net, 4, "double_forward", dtype="float64")(x)
    tiled = derivatives(_net, 4, "double_forward", dtype="float64", tile=tile)(x)
    for a, b in zip(tiled, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)


def test_matrix_products_ask_for_the_highest_precision():
    text = jax.jit(derivatives(_net, 4)).lower(jax.ShapeDtypeStruct((2, 4), np.float32)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert products
    assert all("HIGHEST" in line for line in products)


@pytest.mark.slow
def test_integer_and_list_input_is_converted():
    assert derivatives(_net, 4)([[0, 0, 0, 0]]).value.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "tayler"}, "method must be one of auto, hyperdual, hyperdual_adjoint"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
        ({"wrt": [4]}, "inputs 0 to 3"),
        ({"wrt": [-1]}, "inputs 0 to 3"),
        ({"wrt": []}, "non-empty"),
        ({"wrt": [1, 1]}, "twice"),
        ({"wrt": ["a"]}, "list of input indices"),
        ({"tile": 0}, "tile must be a positive"),
        ({"n_inputs": 0}, "n_inputs must be at least 1"),
    ],
)
def test_argument_out_of_its_domain_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        derivatives(_net, **{"n_inputs": 4, **arguments})


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda x: jnp.outer(x, x), ValueError, r"returns \(2, 2\)"),
        (lambda x: jnp.round(x).astype(int), TypeError, "floating-point"),
        (lambda x: (x, x), TypeError, "one array"),
    ],
)
def test_function_that_is_no_network_is_refused(fn, error, message):
    with pytest.raises(error, match=message):
        derivatives(fn, 2)


@pytest.mark.parametrize("x", [np.zeros(4), np.zeros((2, 3)), np.zeros((1, 2, 4))])
def test_points_of_another_shape_are_refused(x):
    with pytest.raises(ValueError, match=r"shape \(rows, 4\)"):
        derivatives(_net, 4)(x)


def test_room_knows_no_other_room():
    script = (
        "import sys, hyperdiag.hyperdual;"
        "print([m for m in sys.modules if m.split('.')[0] in ('ray', 'pyarrow', 'hydra')"
        " or m.startswith(('hyperdiag.r', 'hyperdiag.d', 'hyperdiag.n', 'hyperdiag.c'))])"
    )
    done = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert done.strip() == "[]"


def test_convolution_of_bfloat16_that_is_summed_in_float32_has_the_value_of_the_function():
    kernel = np.random.default_rng(0).standard_normal((5, 1, 4))  # (width, 1, features)

    def fn(x):
        image = jnp.sin(x).astype(jnp.bfloat16).reshape(1, 6, 4)
        maps = jax.lax.conv_general_dilated(
            *(image, jnp.asarray(kernel, jnp.bfloat16), (1,), "VALID"),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=4,
            preferred_element_type=jnp.float32,
        )
        return maps.reshape(-1)

    points = np.random.default_rng(1).standard_normal((3, 24)).astype(np.float32)
    value = derivatives(fn, 24, "hyperdual", tile=3, outputs=["value", "jacobian"])(points).value
    np.testing.assert_allclose(value, jax.vmap(fn)(points), rtol=1e-5, atol=1e-6)
