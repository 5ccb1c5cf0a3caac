"""Networks with structure: tokens, images, sets, graphs and sequences, from one flat point (n,)."""

import jax
import jax.numpy as jnp
import numpy as np

from .benchmark_network import Function, apply, dense, like
from .dense import layer_norm, norm_weights


def transformer(
    tokens: int, features: int, width: int, layers: int, heads: int, m: int
) -> Function:
    """Pre-norm transformer encoder: gelu, hidden layers of 4 widths, mean over the tokens."""
    rng = np.random.default_rng(0)
    weights = {
        "embed": dense(rng, features, width),
        "position": 0.5 * rng.standard_normal((tokens, width)),
        "blocks": [
            {
                "norm1": norm_weights(rng, width),
                "qkv": dense(rng, width, 3 * width),
                "mix": dense(rng, width, width),
                "norm2": norm_weights(rng, width),
                "up": dense(rng, width, 4 * width),
                "down": dense(rng, 4 * width, width),
            }
            for _ in range(layers)
        ],
        "norm": norm_weights(rng, width),
        "head": dense(rng, width, m),
    }

    def attention(block: dict, h: jax.Array) -> jax.Array:
        qkv = apply(block["qkv"], h).reshape(tokens, 3, heads, width // heads)
        query, key, value = qkv[:, 0], qkv[:, 1], qkv[:, 2]
        scores = jnp.einsum("qhd,khd->hqk", query, key) / np.sqrt(width // heads)
        mixed = jnp.einsum("hqk,khd->qhd", jax.nn.softmax(scores, axis=-1), value)
        return apply(block["mix"], mixed.reshape(tokens, width))

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        h = apply(w["embed"], x.reshape(tokens, features)) + w["position"]
        for block in w["blocks"]:
            h = h + attention(block, layer_norm(block["norm1"], h))
            up = apply(block["up"], layer_norm(block["norm2"], h))
            h = h + apply(block["down"], jax.nn.gelu(up))
        return apply(w["head"], layer_norm(w["norm"], h).mean(axis=0))

    return function


def _kernel(rng: np.random.Generator, size: int, inputs: int, outputs: int) -> np.ndarray:
    """Return the weights (size, size, inputs, outputs) of a convolution, float64."""
    fan_in = size * size * inputs
    return rng.standard_normal((size, size, inputs, outputs)) / np.sqrt(fan_in)


def _convolve(image: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Return the convolution of an image (height, width, channels), its edges padded."""
    layout = ("NHWC", "HWIO", "NHWC")
    maps = jax.lax.conv_general_dilated(
        image[None], kernel, (stride, stride), "SAME", dimension_numbers=layout
    )
    return maps[0]


def convolution(side: int, m: int) -> Function:
    """Two 3x3 convolutions (16 channels; 32 with stride 2), silu, mean over the image, dense."""
    rng = np.random.default_rng(0)
    weights = (_kernel(rng, 3, 1, 16), _kernel(rng, 3, 16, 32), dense(rng, 32, m))

    def function(x: jax.Array) -> jax.Array:
        first, second, head = like(x, weights)
        maps = jax.nn.silu(_convolve(x.reshape(side, side, 1), first))
        maps = jax.nn.silu(_convolve(maps, second, stride=2))
        return apply(head, maps.mean(axis=(0, 1)))

    return function


def pixels(side: int, channels: int, width: int, m: int) -> Function:
    """1x1 convolutions, then the mean over the image and a small head: pixels mix late."""
    rng = np.random.default_rng(0)
    weights = {
        "kernels": [_kernel(rng, 1, channels, width), _kernel(rng, 1, width, width)],
        "hidden": dense(rng, width, width),
        "head": dense(rng, width, m),
    }

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        maps = x.reshape(side, side, channels)
        for kernel in w["kernels"]:
            maps = jax.nn.silu(_convolve(maps, kernel))
        return apply(w["head"], jnp.tanh(apply(w["hidden"], maps.mean(axis=(0, 1)))))

    return function


def deep_sets(members: int, features: int, width: int, m: int) -> Function:
    """Deep sets (Zaheer et al., NeurIPS 2017): one network for each member, a sum, another one."""
    rng = np.random.default_rng(0)
    weights = {
        "member": [dense(rng, features, width), dense(rng, width, width)],
        "whole": [dense(rng, width, width), dense(rng, width, m)],
    }

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        h = x.reshape(members, features)
        for layer in w["member"]:
            h = jnp.tanh(apply(layer, h))
        hidden, head = w["whole"]
        return apply(head, jnp.tanh(apply(hidden, h.sum(axis=0))))

    return function


def graph(nodes: int, features: int, width: int, rounds: int) -> Function:
    """Message passing on a fixed graph: a ring both ways, and one random edge into each node."""
    rng = np.random.default_rng(0)
    ring = np.arange(nodes)
    senders = np.concatenate([ring, (ring + 1) % nodes, rng.permutation(nodes)])
    receivers = np.concatenate([(ring + 1) % nodes, ring, ring])
    weights = {
        "embed": dense(rng, features, width),
        "rounds": [
            (dense(rng, 2 * width, width), dense(rng, 2 * width, width)) for _ in range(rounds)
        ],
        "head": dense(rng, width, 1),
    }

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        h = jnp.tanh(apply(w["embed"], x.reshape(nodes, features)))
        for message, update in w["rounds"]:
            ends = jnp.concatenate([h[senders], h[receivers]], axis=-1)
            messages = jnp.tanh(apply(message, ends))
            received = jax.ops.segment_sum(messages, receivers, num_segments=nodes)
            h = jnp.tanh(apply(update, jnp.concatenate([h, received], axis=-1)))
        return apply(w["head"], h.mean(axis=0))

    return function


def recurrent(steps: int, features: int, width: int, m: int) -> Function:
    """Gated recurrent unit (Cho et al., 2014) along a sequence, by `jax.lax.scan`."""
    rng = np.random.default_rng(0)
    weights = {
        "gates": dense(rng, features + width, 2 * width),
        "candidate": dense(rng, features + width, width),
        "head": dense(rng, width, m),
    }

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)

        def step(state: jax.Array, u: jax.Array) -> tuple[jax.Array, None]:
            gates = jax.nn.sigmoid(apply(w["gates"], jnp.concatenate([u, state])))
            keep, reset = jnp.split(gates, 2)
            candidate = jnp.tanh(apply(w["candidate"], jnp.concatenate([u, reset * state])))
            return keep * state + (1 - keep) * candidate, None

        start = jnp.zeros(width, x.dtype)
        state, _ = jax.lax.scan(step, start, x.reshape(steps, features))
        return apply(w["head"], state)

    return function
