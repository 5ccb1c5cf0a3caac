"""Networks of every kind that the methods are checked on, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.networks.activations import ACTIVATIONS
from hyperdiag.networks.chain import build

CUSTOM_RULE = {"relu", "relu6", "softplus", "log_sigmoid", "mish", "hard_swish", "hard_sigmoid"}


def _weights(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) / np.sqrt(shape[-1]) for shape in shapes]


def _mlp(activation, x):
    a, b, c = _weights(1, (7, 5), (6, 7), (3, 6))
    return c @ ACTIVATIONS[activation](b @ ACTIVATIONS[activation](a @ x + 0.1) - 0.2)


def _siren(x):
    a, b, c = _weights(2, (9, 3), (9, 9), (2, 9))
    return c @ jnp.sin(b @ jnp.sin(5.0 * (a @ x)))


def _residual(x):
    for block in _weights(3, (4, 4), (4, 4), (4, 4)):
        x = x + jnp.tanh(block @ x)
    return x


def _layer_norm(x):
    a, b = _weights(4, (8, 4), (3, 8))
    h = a @ x
    h = (h - h.mean()) / jnp.sqrt(h.var() + 1e-5)
    return b @ jnp.tanh(1.3 * h + 0.2)


def _attention(x):
    q, k, v, out = _weights(5, (4, 3), (4, 3), (4, 3), (2, 8))
    tokens = x.reshape(2, 3)
    scores = jax.nn.softmax((tokens @ q.T) @ (tokens @ k.T).T / 2.0, axis=-1)
    return out @ (scores @ (tokens @ v.T)).reshape(-1)


def _convolution(x):
    kernel, mix = _weights(6, (2, 1, 3, 3), (2, 8))
    image = x.reshape(1, 1, 4, 4)
    maps = jax.lax.conv_general_dilated(image, kernel, (2, 2), ((1, 1), (1, 1)))
    return mix @ jnp.tanh(maps).reshape(-1)


def _scan(x):
    (step,) = _weights(7, (3, 3))
    state, _ = jax.lax.scan(lambda h, _: (jnp.tanh(step @ h + x), None), jnp.zeros(3), None, 4)
    return state


NETWORKS = {
    **{f"mlp-{name}": (partial(_mlp, name), 5) for name in ACTIVATIONS},
    "chain-5-3-elu-3": (build("Chain(Dense(5,3,elu), Dense(3,3))").function, 5),
    "chain-10-5-elu-3": (build("Chain(Dense(10,5,elu), Dense(5,3))").function, 10),
    "siren": (_siren, 3),
    "residual": (_residual, 4),
    "layer-norm": (_layer_norm, 4),
    "attention": (_attention, 6),
    "convolution": (_convolution, 16),
    "scan": (_scan, 3),
    "scalar": (lambda x: jnp.prod(x) ** 2, 3),
}
