"""Sine and cosine in float32, and the derivatives that activations share, against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual._rules.transcendental import JETS, sine_and_cosine

ULP = 2.0**-24  # half the spacing of float32 numbers below 1


@pytest.mark.parametrize("largest", [1, 100, 11_999, 13_000, 1e7, 1e30])
def test_sine_and_cosine_are_within_two_units_for_any_argument(largest):
    x = np.random.default_rng(0).uniform(-largest, largest, (1000, 40)).astype(np.float32)
    sine, cosine = jax.jit(jax.vmap(sine_and_cosine))(x)
    exact = x.astype(np.float64)
    assert np.abs(sine - np.sin(exact)).max() <= 2 * ULP
    assert np.abs(cosine - np.cos(exact)).max() <= 2 * ULP


def test_sine_near_its_zeros_keeps_its_relative_precision():
    x = (np.arange(-3000, 3000) * np.pi).astype(np.float32)
    sine, _ = sine_and_cosine(jnp.asarray(x))
    exact = np.sin(x.astype(np.float64))
    assert (np.abs(sine - exact) <= 4e-7 * np.abs(exact)).all()


def test_sine_of_what_is_not_finite_is_nan_and_spares_its_neighbours():
    x = jnp.array([jnp.nan, jnp.inf, -jnp.inf, 1.0, -0.0])
    sine, cosine = jax.jit(sine_and_cosine)(x)
    assert np.isnan(sine[:3]).all()
    assert np.isnan(cosine[:3]).all()
    np.testing.assert_allclose(sine[3:], [np.sin(1), 0], atol=1e-7)
    np.testing.assert_allclose(cosine[3:], [np.cos(1), 1], atol=1e-7)


@pytest.mark.parametrize("name", JETS)
def test_shared_derivatives_are_those_of_jax(name):
    plain = {
        "cos": jnp.cos,
        "erf": jax.scipy.special.erf,
        "exp": jnp.exp,
        "logistic": jax.nn.sigmoid,
        "sin": jnp.sin,
        "tanh": jnp.tanh,
    }[name]
    with jax.enable_x64(True):
        x = jnp.linspace(-4, 4, 101)
        slope = jax.vmap(jax.grad(plain))
        for found, wanted in zip(
            JETS[name](x), (plain(x), slope(x), jax.vmap(jax.grad(jax.grad(plain)))(x)), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-15)
