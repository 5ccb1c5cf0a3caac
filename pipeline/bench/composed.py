"""Networks of many kinds, for the draws of `random_networks`.

Every builder takes a generator, which its weights are drawn from, sizes and an activation, and
returns a function of one point, (n,) to (m,).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from .benchmark_network import Function, apply, dense, like

Activation = Callable[[jax.Array], jax.Array]


def chain(rng: np.random.Generator, widths: Sequence[int], activation: Activation) -> Function:
    """Dense layers of the given widths, with an activation on all but the last."""
    layers = [dense(rng, inputs, outputs) for inputs, outputs in pairwise(widths)]

    def function(x: jax.Array) -> jax.Array:
        *hidden, last = like(x, layers)
        for layer in hidden:
            x = activation(apply(layer, x))
        return apply(last, x)

    return function


def normed_residual(
    rng: np.random.Generator, n: int, width: int, blocks: int, m: int, norm: str, act: Activation
) -> Function:
    """h + W2 act(W1 norm(h)), with norm "layer", "rms" or "none"."""
    weights = {
        "first": dense(rng, n, width),
        "blocks": [
            (dense(rng, width, width), dense(rng, width, width), 1 + 0.1 * rng.random(width))
            for _ in range(blocks)
        ],
        "last": dense(rng, width, m),
    }

    def normed(h: jax.Array, scale: jax.Array) -> jax.Array:
        if norm == "none":
            return h
        h = h - h.mean() if norm == "layer" else h
        return h * jax.lax.rsqrt((h * h).mean() + 1e-5) * scale

    def function(x: jax.Array) -> jax.Array:
        w = like(x, weights)
        h = apply(w["first"], x)
        for up, down, scale in w["blocks"]:
            h = h + apply(down, act(apply(up, normed(h, scale))))
        return apply(w["last"], h)

    return function


def gated(rng: np.random.Generator, widths: Sequence[int], act: Activation) -> Function:
    """Gated linear units (Dauphin et al., 2017): act(W x) * (V x), then a dense layer."""
    pairs = list(pairwise(widths))
    layers = [(dense(rng, *pair), dense(rng, *pair)) for pair in pairs[:-1]]
    weights = layers, dense(rng, *pairs[-1])

    def function(x: jax.Array) -> jax.Array:
        gates, last = like(x, weights)
        for gate, value in gates:
            x = act(apply(gate, x)) * apply(value, x)
        return apply(last, x)

    return function


def fourier(
    rng: np.random.Generator, n: int, features: int, widths: Sequence[int], act: Activation
) -> Function:
    """Random Fourier features (Tancik et al., 2020), sin and cos of B x, before dense layers."""
    frequencies = rng.standard_normal((n, features)) / np.sqrt(n)
    network = chain(rng, (2 * features, *widths), act)

    def function(x: jax.Array) -> jax.Array:
        phase = 2 * np.pi * (x @ like(x, frequencies))
        return network(jnp.concatenate([jnp.sin(phase), jnp.cos(phase)]))

    return function


def ensemble(
    rng: np.random.Generator, members: int, widths: Sequence[int], act: Activation
) -> Function:
    """The mean of several networks of the same widths, whose weights share an array by layer."""
    layers = []
    for inputs, outputs in pairwise(widths):
        pairs = [dense(rng, inputs, outputs) for _ in range(members)]
        layers.append(tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True)))

    def function(x: jax.Array) -> jax.Array:
        h = jnp.broadcast_to(x, (members, x.size))
        for number, (matrix, bias) in enumerate(like(x, layers)):
            h = jnp.einsum("ei,eio->eo", h, matrix) + bias
            h = act(h) if number < len(layers) - 1 else h
        return h.mean(0)

    return function


def skipping(
    rng: np.random.Generator, n: int, width: int, layers: int, m: int, act: Activation
) -> Function:
    """Each layer sees the input and all layers before it (Huang et al., 2017)."""
    weights = [dense(rng, n + width * number, width) for number in range(layers)]
    weights.append(dense(rng, n + width * layers, m))

    def function(x: jax.Array) -> jax.Array:
        *hidden, last = like(x, weights)
        for layer in hidden:
            x = jnp.concatenate([x, act(apply(layer, x))])
        return apply(last, x)

    return function


def projected(rng: np.random.Generator, n: int, widths: Sequence[int], act: Activation) -> Function:
    """Standardised inputs, their principal components, then dense layers."""
    basis, _ = np.linalg.qr(rng.standard_normal((n, widths[0])))
    weights = rng.standard_normal(n), rng.uniform(0.5, 2.0, n), basis
    network = chain(rng, widths, act)

    def function(x: jax.Array) -> jax.Array:
        mean, deviation, components = like(x, weights)
        return network(((x - mean) / deviation) @ components)

    return function


def mixture(
    rng: np.random.Generator, experts: int, widths: Sequence[int], act: Activation
) -> Function:
    """Experts weighted by a softmax of the input (Jacobs et al., 1991)."""
    gate = dense(rng, widths[0], experts)
    networks = [chain(rng, widths, act) for _ in range(experts)]

    def function(x: jax.Array) -> jax.Array:
        share = jax.nn.softmax(apply(like(x, gate), x))
        return share @ jnp.stack([network(x) for network in networks])

    return function


def convolutional(
    rng: np.random.Generator,
    sides: Sequence[int],
    channels: Sequence[int],
    window: int,
    stride: int,
    pool: str,
    first: bool,
    m: int,
    act: Activation,
) -> Function:
    """Convolutions along one axis or two, pooled behind the first layer, a mean, a dense layer.

    Args:
        rng: of the weights.
        sides: of the image, or its length.
        channels: of the input and of each layer.
        window: pixels on a side.
        stride: of all layers but the first.
        pool: "none", "mean" or "max", over two pixels on a side.
        first: whether channels are the first axis, as in PyTorch, or the last, as in Flax.
        m: outputs.
        act: behind each layer.
    """
    rank = len(sides)
    axes = "HW"[:rank]
    image, kernels_axes = (f"NC{axes}", f"OI{axes}") if first else (f"N{axes}C", f"{axes}IO")
    layout = image, kernels_axes, image
    kernels = []
    for inputs, outputs in pairwise(channels):
        kernel = rng.standard_normal((*[window] * rank, inputs, outputs))
        kernel /= np.sqrt(window**rank * inputs)
        kernels.append(np.moveaxis(kernel, (-1, -2), (0, 1)) if first else kernel)
    weights = kernels, dense(rng, channels[-1], m)
    spatial = range(2, 2 + rank) if first else range(1, 1 + rank)

    def pooled(maps: jax.Array) -> jax.Array:
        size = tuple(2 if axis in spatial else 1 for axis in range(rank + 2))
        if pool == "max":
            return jax.lax.reduce_window(maps, -jnp.inf, jax.lax.max, size, size, "VALID")
        return jax.lax.reduce_window(maps, 0.0, jax.lax.add, size, size, "VALID") / 2**rank

    def function(x: jax.Array) -> jax.Array:
        windows, head = like(x, weights)
        maps = x.reshape(1, channels[0], *sides) if first else x.reshape(1, *sides, channels[0])
        for number, kernel in enumerate(windows):
            strides = [stride if number else 1] * rank
            maps = jax.lax.conv_general_dilated(
                maps, kernel, strides, "SAME", dimension_numbers=layout
            )
            maps = act(maps)
            if number == 0 and pool != "none":
                maps = pooled(maps)
        return apply(head, maps.mean(axis=tuple(spatial))[0])

    return function
