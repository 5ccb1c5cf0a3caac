import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import OWN_METHODS, derivatives
from hyperdiag.hyperdual._methods import own
from hyperdiag.hyperdual._waist import find_waist

from .programs._check import assert_close, each, reference

N = 24
RNG = np.random.default_rng(0)
DOWN = RNG.standard_normal((N, 2)) / 5
FIRST, SECOND, LAST = (RNG.standard_normal(shape) / 4 for shape in ((2, 40), (40, 40), (40, 3)))


def _after(numbers, activation=jnp.tanh):
    dtype = numbers.dtype
    hidden = activation(numbers @ FIRST.astype(dtype))
    return activation(hidden @ SECOND.astype(dtype)) @ LAST.astype(dtype)


def _down(x):
    return x @ DOWN.astype(x.dtype)


def projected(x):
    return _after(_down((x - 0.5) / 2))


def encoded(x):
    return _after(jnp.sin(_down(jnp.tanh(x))) + 0.1)


def of_several_values(x):
    norm = jnp.sqrt((x**2).sum())
    scale = jnp.exp(jnp.asarray([0.1, -0.2], x.dtype))  # made before, used behind
    return _after(jnp.stack([norm, jnp.sin(x[0])]) * scale) * norm


def jitted(x):
    return jax.jit(lambda x: jax.jit(_after)(jax.jit(_down)(x)))(x)


def of_rules_of_jax(x):
    numbers = _down(x)
    return _after(numbers, jax.nn.softplus) + _after(numbers, jax.nn.relu)


def selected_away(x):
    numbers = _down(x)
    risky = jnp.where(numbers > 0, jnp.log(numbers), numbers)
    return _after(jnp.where(numbers > 0, risky, 1.0))


def squared(x):
    """At x = 0 its cotangents are zero, and their derivatives are not."""
    numbers = _down(x)
    hidden = 2 * jnp.sin(numbers @ FIRST.astype(x.dtype))
    for _ in range(2):
        hidden = 2 * jnp.sin(hidden @ SECOND.astype(x.dtype))
    return hidden @ hidden + _after(numbers)


def gated(x):
    """A factor that is zero, and has a derivative."""
    numbers = _down(x)
    gate = numbers[0] - jax.lax.stop_gradient(numbers[0])
    return _after(numbers) * gate + _after(numbers * gate)


def without_slope(x):
    return jnp.sign(_after(_down(x)))


FUNCTIONS = (
    *(projected, encoded, of_several_values, jitted, of_rules_of_jax, selected_away),
    *(squared, gated, without_slope),
)


def _found(fn, n=N):
    waist = find_waist(jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((n,), "float32")))
    return None if waist is None else (waist.width, waist.linear)


@pytest.mark.parametrize(
    ("fn", "found"),
    [
        *((projected, (2, True)), (jitted, (2, True)), (encoded, (2, False))),
        *(
            (of_several_values, (2, False)),
            (of_rules_of_jax, (2, True)),
            (selected_away, (2, False)),
        ),
        *((squared, (2, True)), (gated, (2, True)), (without_slope, (2, True))),
    ],
)
def test_waist_is_found(fn, found):
    assert _found(fn) == found


@jax.custom_jvp
def _of_the_users(x):
    return jnp.tanh(x)


_of_the_users.defjvp(lambda x, t: (_of_the_users(*x), t[0]))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: _after(_down(x), _of_the_users),
        lambda x: _after(jax.lax.fori_loop(0, 3, lambda _, v: jnp.sin(v), _down(x))) + 0 * x[:3],
        lambda x: jax.lax.scan(lambda c, _: (_after(c)[:2], None), _down(x), None, length=3)[0],
        lambda x: _after(_down(x)) + x[:3],  # which is needed behind, too
        lambda x: jnp.tanh(x @ DOWN.astype(x.dtype)),  # with nothing behind
        lambda x: jnp.ones(3, x.dtype),
        lambda x: _after(_down(x), lambda h: jnp.log(1 + h * h)),  # large where h is small
        lambda x: _after(_down(x), lambda h: h / (1 + jnp.abs(h))),
        lambda x: _after(_down(x).astype(jnp.bfloat16)).astype(x.dtype),
    ],
    ids=[
        *("own rule", "loop", "scan", "input used again", "nothing behind", "constant"),
        *("logarithm", "quotient", "another dtype"),
    ],
)
def test_there_is_no_waist_where_it_would_be_wrong_or_saves_nothing(fn):
    assert _found(fn) is None


@pytest.mark.one_in(36)
@pytest.mark.parametrize("method", OWN_METHODS)
@pytest.mark.parametrize("fn", FUNCTIONS)
def test_derivatives_through_a_waist_equal_the_dense_hessian(fn, method):
    points = np.random.default_rng(1).standard_normal((3, N))
    points[2] = 0.0
    some = [20, 3, 7, 11, 0, 5, 9, 1, 2, 4, 6, 8, 10, 12, 13, 14, 15, 16]
    names = ("value", "jacobian", "hessian_diag", "laplacian")
    whole = derivatives(fn, N, method, dtype="float64", tile=2, outputs=names)(points)
    part = derivatives(fn, N, method, wrt=some, dtype="float64", tile=2)(points)
    # In forward mode: backwards, what is selected away would spoil it.
    wanted = each(lambda z: reference(fn, z, jax.jacfwd), points, {})
    assert_close(whole[:3], wanted)
    np.testing.assert_allclose(whole.laplacian, wanted[2].sum(-1), rtol=1e-9, atol=1e-9)
    assert_close(part, (wanted[0], wanted[1][..., some], wanted[2][..., some]))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_principal_components_cost_their_number_not_that_of_the_inputs(method):
    n, components, m = 784, 10, 2
    rng = np.random.default_rng(2)
    shapes = ((n, components), (components, 64), (64, 64), (64, m))
    basis, *layers = (rng.standard_normal(shape).astype(np.float32) / 8 for shape in shapes)

    def fn(x):
        h = x @ basis
        for layer in layers:
            h = jnp.tanh(h @ layer)
        return h

    def flops(method):
        batch = jax.jit(derivatives(fn, n, method, tile=4)._batch)
        lowered = batch.lower(jax.ShapeDtypeStruct((4, n), np.float32))
        return lowered.compile().cost_analysis()["flops"]

    ratio = flops(method) / flops("double_forward")
    assert ratio < 0.1, ratio


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint"])
def test_infinite_slope_that_is_selected_away_behind_the_waist_spoils_nothing(method, monkeypatch):
    def fn(x):
        norm = jnp.linalg.norm(x[:12])  # has no derivative at 0
        return _after(jnp.stack([jnp.where(norm > 0, norm, 0.0), (x[12:] ** 2).sum()]))

    assert _found(fn) == (2, False)
    points = np.random.default_rng(3).standard_normal((2, N))
    points[0, :12] = 0.0
    found = derivatives(fn, N, method, dtype="float64", tile=2)(points)
    monkeypatch.setattr(own, "find_waist", lambda closed: None)
    wanted = derivatives(fn, N, method, dtype="float64", tile=2)(points)
    for one, other in zip(found, wanted, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint"])
def test_what_is_not_finite_is_so_without_the_waist_too(method, monkeypatch):
    def fn(x):
        root = jnp.sqrt(x[0])  # has no derivative at 0
        return _after(jnp.stack([root, jnp.sin(x[1:]).sum()]))

    assert _found(fn) == (2, False)
    points = np.full((2, N), 0.3)
    points[0, 0] = 0.0
    found = derivatives(fn, N, method, dtype="float64", tile=2)(points)
    monkeypatch.setattr(own, "find_waist", lambda closed: None)
    wanted = derivatives(fn, N, method, dtype="float64", tile=2)(points)
    assert not np.isfinite(wanted.hessian_diag[0]).all()
    for one, other in zip(found, wanted, strict=True):
        finite = np.isfinite(other)
        np.testing.assert_array_equal(np.isfinite(one), finite)
        np.testing.assert_allclose(one[finite], other[finite], rtol=1e-11, atol=1e-12)
