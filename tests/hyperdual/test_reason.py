"""What is said where a function is not written in JAX, or JAX cannot differentiate it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import OWN_METHODS, MethodError, RuleError, derivatives, reason


class _Tensor:
    """What a library of tensors of its own does with an array that is none of them."""

    def __matmul__(self, other):
        raise TypeError(f"matmul(): argument 'other' must be Tensor, not {type(other).__name__}")


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda x: np.sin(x), r"written in JAX \(jax.numpy\) throughout, and NumPy"),
        (lambda x: jnp.asarray(np.asarray(x)), "written in JAX"),
        (lambda x: _Tensor() @ x, r"written in JAX \(jax.numpy\) throughout, and something else"),
        (lambda x: x * float(x[0]), r"as `float\(x\)` does"),
        (lambda x: x if x[0] > 0 else -x, "jnp.where or jax.lax.cond, not `if`"),
        (lambda x: sum(x for _ in range(x[0].astype(int))), "sizes and indices from shapes"),
    ],
)
def test_function_that_is_not_written_in_jax_is_refused_with_that(fn, said):
    with pytest.raises(TypeError, match=said):
        derivatives(fn, 3)


def test_error_of_the_function_itself_is_not_touched():
    def fn(x):
        raise KeyError("weights")

    with pytest.raises(KeyError, match="weights"):
        derivatives(fn, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n  it fails\nat length", "ValueError: it fails"),
        ("", "ValueError"),
        ("\n", "ValueError"),
    ],
)
def test_first_line_that_says_something_is_kept(text, said):
    assert reason(ValueError(text)) == said


@jax.custom_vjp
def _clipped_gradient(x):
    return x


_clipped_gradient.defvjp(lambda x: (x, None), lambda _, ct: (jnp.clip(ct, -1, 1),))


def test_refusal_names_a_method_that_can():
    fn = lambda x: jnp.sin(_clipped_gradient(x**2))
    x = np.array([[0.4, 0.9]])
    with pytest.raises(RuleError, match=r"; method 'forward_over_reverse' can$"):
        derivatives(fn, 2, "hyperdual", tile=1)(x)
    assert np.isfinite(derivatives(fn, 2, "forward_over_reverse")(x).hessian_diag).all()


@jax.custom_vjp
def _cube(x):
    return x**3


_cube.defvjp(lambda x: (_cube(x), x), lambda x, cotangent: (3 * x**2 * cotangent,))


@pytest.mark.parametrize("method", ["double_forward", "forward_over_reverse", "taylor"])
def test_refusal_of_a_method_of_the_field_names_one_that_can(method):
    """JAX's own error says neither; taylor named a method that cannot, either."""
    x = np.array([[0.4, 0.9]])
    with pytest.raises(
        MethodError, match=rf"method '{method}' .*; method 'reverse_over_reverse' can$"
    ):
        derivatives(_cube, 2, method, tile=1)(x)
    results = derivatives(_cube, 2, "reverse_over_reverse", tile=1)(x)
    np.testing.assert_allclose(results.hessian_diag[0], np.diag(6 * x[0]), rtol=1e-6)


def test_refusal_says_where_no_method_can():
    fn = lambda x: jax.scipy.special.gammainc(jnp.exp(x), 2.0)
    with pytest.raises(RuleError, match=r"'igamma'.*none of the other methods can"):
        derivatives(fn, 2, "hyperdual", tile=1)(np.ones((1, 2)))


def _changed_in_place(x):
    kept = jax.new_ref(jnp.zeros(2, x.dtype))
    kept[...] = jnp.sin(x)
    return kept[...] * x


IN_PLACE = [
    (_changed_in_place, lambda x: jnp.sin(x) * x),
    (lambda x: jax.new_ref(x**2)[...] * x, lambda x: x**3),
]


@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("fn", [fn for fn, _ in IN_PLACE])
def test_array_that_is_changed_in_place_is_refused_as_that(fn, method):
    refusal = r"changed in place \(jax\.new_ref\).*; method 'reverse_over_reverse' can$"
    with pytest.raises(RuleError, match=refusal):
        derivatives(fn, 2, method, tile=1)(np.ones((1, 2)))


@pytest.mark.parametrize(("fn", "plain"), IN_PLACE)
def test_method_that_is_named_derives_an_array_that_is_changed_in_place(fn, plain):
    x = np.array([[0.3, 0.7]])
    derived = derivatives(fn, 2, "reverse_over_reverse", dtype="float64")(x)
    expected = derivatives(plain, 2, "double_forward", dtype="float64")(x)
    for array, right in zip(derived, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_array_that_is_changed_elsewhere_is_read_as_it_stands(method):
    kept = jax.new_ref(jnp.array([1.0, 2.0]))
    derived = derivatives(lambda x: jnp.sin(x) * kept[...], 2, method, tile=1)(np.ones((1, 2)))
    expected = -np.sin(1) * np.array([1.0, 2.0])
    np.testing.assert_allclose(np.diag(derived.hessian_diag[0]), expected, rtol=1e-6)
