"""Is a network the same one in float64? By its constants, where they can be compared."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import dtype_difference, numerics

POINTS = np.random.default_rng(0).standard_normal((8, 3))
WEIGHTS = np.random.default_rng(1).standard_normal((4, 3))


def _random_weights():
    weights = jax.random.normal(jax.random.key(0), (4, 3))
    return lambda x: weights @ x


def _random_bias_and_loop():
    bias = jax.random.uniform(jax.random.key(0), (3,))
    return lambda x: jax.lax.fori_loop(0, 2, lambda i, c: jnp.sin(c + bias), x)


def _drawn_in_the_function():
    return lambda x: jax.random.normal(jax.random.key(0), (4, 3)) @ x


def _of_the_dtype():
    return lambda x: x * (2.0 if x.dtype == np.float64 else 3.0)


def _numpy_weights():
    return lambda x: WEIGHTS @ x


def _converted_weights():
    weights = jnp.asarray(WEIGHTS)
    return lambda x: weights @ x


def _computed_weights():
    weights = jnp.linalg.inv(jnp.asarray(WEIGHTS.T @ WEIGHTS))
    return lambda x: jnp.tanh(weights @ x)


def _small_number_of_the_dtype():
    return lambda x: x / (jnp.linalg.norm(x) + jnp.finfo(x.dtype).eps)


def _seeds_kept():
    weights = jax.random.normal(jax.random.key(0), (4, 3), jnp.float32)
    return lambda x: weights @ x


def _difference(builder):
    built = []
    for dtype in ("float32", "float64"):
        with numerics(dtype):
            built.append(builder())
    return dtype_difference(*built, POINTS)


@pytest.mark.parametrize(
    ("builder", "sentence"),
    [
        (_random_weights, r"constant 1 of 1, of shape \(4, 3\), has .* in float32 where"),
        (_random_bias_and_loop, r"constant 1 of 1, of shape \(3,\)"),
        (_drawn_in_the_function, r"output \d of the float32 network differs by up to"),
        (_of_the_dtype, r"output \d of the float32 network differs"),
    ],
)
def test_network_that_is_another_in_float64_is_told_with_the_place(builder, sentence):
    assert re.match(sentence, _difference(builder))


@pytest.mark.parametrize(
    "builder",
    [
        _numpy_weights,
        _converted_weights,
        _computed_weights,
        _small_number_of_the_dtype,
        _seeds_kept,
    ],
)
def test_network_that_is_the_same_after_rounding_is_left_alone(builder):
    assert _difference(builder) is None
