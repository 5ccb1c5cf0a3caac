"""Networks of dense layers: plain, sinusoidal, residual, and behind an elementwise first stage."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from .benchmark_network import Function, apply, dense, like
from .composed import chain


def mlp(widths: Sequence[int], activation: Callable[[jax.Array], jax.Array] = jnp.tanh) -> Function:
    """Dense layers of the given widths, with an activation on all but the last."""
    return chain(np.random.default_rng(0), widths, activation)


def siren(widths: Sequence[int], w0: float = 30.0) -> Function:
    """SIREN (Sitzmann et al., NeurIPS 2020): sin everywhere, with frequency w0 in the first layer.

    Weights as its section 3.2 draws them: uniform in +-1/n, then in +-sqrt(6 / inputs).
    """
    rng = np.random.default_rng(0)
    layers = []
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        limit = np.sqrt(6 / inputs) if number else 1 / inputs
        matrix = rng.uniform(-limit, limit, (inputs, outputs))
        layers.append((matrix, rng.uniform(-0.1, 0.1, outputs)))

    def function(x: jax.Array) -> jax.Array:
        first, *hidden, last = like(x, layers)
        x = jnp.sin(w0 * apply(first, x))
        for layer in hidden:
            x = jnp.sin(apply(layer, x))
        return apply(last, x)

    return function


def layer_norm(scale_and_bias: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    """Return x with mean 0 and variance 1 along its last axis, scaled and shifted."""
    scale, bias = scale_and_bias
    mean = x.mean(axis=-1, keepdims=True)
    variance = x.var(axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias


def norm_weights(rng: np.random.Generator, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and the bias of a layer norm, (width,) each, as if trained a little."""
    return 1 + 0.1 * rng.standard_normal(width), 0.1 * rng.standard_normal(width)


def residual(n: int, width: int, blocks: int, m: int) -> Function:
    """Residual network with pre-norm blocks: h + W2 gelu(W1 norm(h))."""
    rng = np.random.default_rng(0)
    weights = {
        "first": dense(rng, n, width),
        "blocks": [
            (norm_weights(rng, width), dense(rng, width, width), dense(rng, width, width))
            for _ in range(blocks)
        ],
        "norm": norm_weights(rng, width),
        "last": dense(rng, width, m),
    }

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        h = apply(w["first"], x)
        for norm, up, down in w["blocks"]:
            h = h + apply(down, jax.nn.gelu(apply(up, layer_norm(norm, h))))
        return apply(w["last"], layer_norm(w["norm"], h))

    return function


def preprocessed(widths: Sequence[int]) -> Function:
    """Dense layers behind what preprocessing does to raw inputs, each by itself.

    A third of the inputs is taken by its logarithm, a third through exp(-x), a third standardised.
    """
    n = widths[0]
    rng = np.random.default_rng(1)
    mean_and_deviation = rng.uniform(0.8, 1.2, n), rng.uniform(0.3, 0.6, n)
    network = mlp(widths)

    def function(x: jax.Array) -> jax.Array:
        mean, deviation = like(x, mean_and_deviation)
        logarithmic, decaying, plain = jnp.split(x, 3)
        raw = jnp.concatenate([jnp.log(logarithmic), jnp.exp(-decaying), plain])
        return network((raw - mean) / deviation)

    return function
