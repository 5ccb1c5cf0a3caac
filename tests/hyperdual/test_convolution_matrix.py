"""Small convolutions as products with their matrix, against the convolution itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag import derivatives
from hyperdiag.hyperdual._convolution_matrix import convolution_matrix, has_small_matrix
from hyperdiag.hyperdual._jaxpr import equations
from hyperdiag.hyperdual._jitted import Jitted
from hyperdiag.hyperdual._methods import OWN_METHODS

LAYOUTS = [("NCHW", "OIHW", "NCHW"), ("NHWC", "HWIO", "NHWC"), ("NCHW", "HWIO", "NHWC")]
WINDOWS = [
    {"window_strides": (1, 1), "padding": "SAME"},
    {"window_strides": (2, 1), "padding": ((1, 0), (-1, 2))},
    {"window_strides": (1, 1), "padding": "VALID", "rhs_dilation": (1, 2)},
    {"window_strides": (1, 2), "padding": ((0, 1), (1, 1)), "lhs_dilation": (2, 1)},
]


@pytest.mark.one_in(24)
@pytest.mark.parametrize(("layout", "window"), list(itertools.product(LAYOUTS, WINDOWS)))
@pytest.mark.parametrize("groups", [2, 1])
def test_is_the_jacobian_of_the_convolution(layout, window, groups):
    rng = np.random.default_rng(0)
    sizes = {"N": 1, "C": 4, "H": 5, "W": 4, "O": 6, "I": 4 // groups}
    image = rng.standard_normal([sizes[axis] for axis in layout[0]]).astype("float32")
    shape = [{"H": 2, "W": 2}.get(axis, sizes[axis]) for axis in layout[1]]
    kernel = rng.standard_normal(shape).astype("float32")

    def convolved(image):
        return lax.conv_general_dilated(
            image, kernel, dimension_numbers=layout, feature_group_count=groups, **window
        )

    eqn = jax.make_jaxpr(convolved)(image).eqns[-1]
    result = eqn.outvars[0].aval.shape
    matrix = convolution_matrix(image.shape, kernel, result, eqn.params)
    exact = np.asarray(jax.jacobian(convolved)(image))  # (*result, *image)
    size = image.size
    np.testing.assert_array_equal(matrix.reshape(size, -1), exact.reshape(-1, size).T)


def _convolution(size, window, kernel=None):
    """Return a convolution between two nonlinear steps, derived."""
    kernel = np.ones((1, 1, window), "float32") if kernel is None else kernel

    def network(x):
        maps = lax.conv_general_dilated(x.reshape(1, 1, size) ** 2, kernel, (1,), "SAME")
        return jnp.tanh(maps).reshape(-1)

    return derivatives(network, size, "hyperdual", tile=2, threads=1)


def _sizes(bundle, size):
    """Return the sizes of the matrices that the program multiplies by."""
    program = jax.make_jaxpr(bundle)(jnp.ones((2, size)))
    products = [eqn for eqn in equations(program) if eqn.primitive.name == "dot_general"]
    return {eqn.invars[1].aval.shape for eqn in products}


def test_is_taken_where_it_is_small_alone():
    assert _sizes(_convolution(8, 3), 8) == {(8, 8)}
    assert _sizes(_convolution(200, 3), 200) == set()  # it would be 67 times the work


def test_what_is_infinite_in_a_kernel_spoils_only_what_it_meets():
    kernel = np.array([[[0.5, np.inf]]], "float32")
    bundle = _convolution(4, 2, kernel)
    value, _, _ = jax.jit(bundle)(np.array([[1.0, 2, 3, 4]]))  # there, no row is derived again
    np.testing.assert_allclose(value[0, :3], 1)  # the last meets what is behind the end: inf * 0


def _saturating(x):
    image = jnp.exp(x).reshape(1, 1, 6)
    kernel = np.full((1, 1, 3), 1 / 3, x.dtype)
    return jnp.tanh(1 / lax.conv_general_dilated(image, kernel, (1,), "SAME")).reshape(-1)


@pytest.mark.one_in(12)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_infinite_in_an_image_spoils_only_what_meets_it(method, threads):
    points = np.random.default_rng(0).standard_normal((70, 6)).astype("float32")
    points[33, 0] = 90  # exp overflows in float32
    found = derivatives(_saturating, 6, method, tile=2, threads=threads)(points)
    value = jax.vmap(_saturating)(points)
    assert np.isfinite(value).all()
    np.testing.assert_allclose(found.value, value, rtol=1e-5)
    jacobian = jax.vmap(jax.jacfwd(_saturating))(points)
    assert np.isnan(jacobian[33, :2]).any()
    np.testing.assert_allclose(found.jacobian[33, 2:], jacobian[33, 2:], rtol=1e-4, atol=1e-7)
    assert np.isfinite(np.delete(found.hessian_diag, 33, axis=0)).all()


@pytest.mark.slow
def test_however_many_rows_are_not_finite_two_programs_derive_them_again(monkeypatch):
    shapes = set()
    program = Jitted.program

    def noted(jitted, arrays, *seconds):
        shapes.add(arrays[0].shape)
        return program(jitted, arrays, *seconds)

    monkeypatch.setattr(Jitted, "program", noted)
    bundle = derivatives(_saturating, 6, "hyperdual", tile=2, threads=1)
    for spoilt in (0, 1, 2, 5, 60, 300):
        points = np.random.default_rng(0).standard_normal((301, 6)).astype("float32")
        rows = np.random.default_rng(1).permutation(301)[:spoilt]
        points[rows, 5] = 90
        found = bundle(points)
        np.testing.assert_allclose(found.value, jax.vmap(_saturating)(points), rtol=1e-5)
        finite = np.isfinite(found.hessian_diag).all(axis=(1, 2))
        np.testing.assert_array_equal(np.nonzero(~finite)[0], np.sort(rows))
    assert shapes == {(301, 6), (2, 6), (128, 6)}


def test_without_rows_and_for_other_quantities():
    bundle = derivatives(_saturating, 6, tile=2, outputs=["hvp", "laplacian"], method="hyperdual")
    none = np.zeros((0, 6), np.float32)
    assert [array.shape for array in bundle(none, none)] == [(0, 6, 6), (0, 6)]
    points = np.array([[90, 1, 2, 1, 0, 1]], np.float32)
    _, laplacian = bundle(points, np.ones((1, 6)))
    assert np.isfinite(laplacian[0, 2:]).all()


@pytest.mark.parametrize("method", OWN_METHODS)
def test_an_infinite_slope_spoils_only_what_meets_it(method):
    kernel = np.array([[[1.0, 2, 3]]])

    def network(x):
        return lax.conv_general_dilated(jnp.sqrt(x).reshape(1, 1, 6), kernel, (1,), "SAME")[0, 0]

    points = np.array([[0.0, 1, 2, 3, 4, 5]])
    found = derivatives(network, 6, method, dtype="float64", tile=1)(points)
    assert np.isinf(found.jacobian[0, :2, 0]).all()
    assert (np.asarray(found.jacobian[0, 2:, 0]) == 0).all()


def test_long_kernels_stay_as_they_are():
    """What is held on the way to the matrix grows with the window, too."""
    layout = lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2))
    assert not has_small_matrix((1, 1, 512), (1, 1, 512), (1, 1, 512), layout)
    assert has_small_matrix((1, 1, 64), (1, 1, 64), (1, 1, 64), layout)


def test_is_not_taken_where_pixels_or_features_stay_apart():
    layout = lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2))
    assert not has_small_matrix((1, 2, 4), (2, 2, 1), (1, 2, 4), layout)
    assert not has_small_matrix((1, 2, 4), (2, 1, 2), (1, 2, 4), layout)


def test_needs_the_rows_as_the_first_axis():
    layout = lax.ConvDimensionNumbers((1, 0, 2), (0, 1, 2), (0, 1, 2))
    assert not has_small_matrix((2, 1, 4), (2, 2, 2), (1, 2, 4), layout)
    first = lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2))
    assert has_small_matrix((1, 2, 4), (2, 2, 2), (1, 2, 4), first)
