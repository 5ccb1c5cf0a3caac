"""Networks: dense, normalised, attending, recurrent, physical."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


def _layer_norm(h, axis=-1, epsilon=1e-3):
    return (h - h.mean(axis, keepdims=True)) / jnp.sqrt(h.var(axis, keepdims=True) + epsilon)


def _attend(queries, keys, values, mask=None):
    scores = queries @ jnp.swapaxes(keys, -1, -2) / np.sqrt(queries.shape[-1])
    if mask is not None:
        scores = jnp.where(mask, scores, -1e9)
    return jax.nn.softmax(scores, axis=-1) @ values


@program(4)
def mlp_tanh(x):
    h = jnp.tanh(weights(x, (6, 4)) @ x + 0.1)
    return weights(x, (3, 5)) @ jnp.tanh(weights(x, (5, 6)) @ h - 0.2)


@program(4, flat=True)
def mlp_relu_is_flat(x):
    h = jax.nn.relu(weights(x, (7, 4)) @ x + 0.1)
    return weights(x, (3, 5)) @ jax.nn.relu(weights(x, (5, 7)) @ h + 0.1)


@program(3)
def siren(x):
    h = jnp.sin(4 * weights(x, (7, 3)) @ x)
    return weights(x, (2, 7)) @ jnp.sin(weights(x, (7, 7)) @ h)


@program(3)
def fourier_features(x):
    phase = 2 * np.pi * weights(x, (5, 3)) @ x
    h = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)])
    return weights(x, (2, 6)) @ jax.nn.silu(weights(x, (6, 10)) @ h)


@program(5)
def residual_network(x):
    for seed in range(3):
        x = x + weights(x, (5, 6), seed) @ jnp.tanh(weights(x, (6, 5), seed) @ x)
    return x


@program(4)
def dense_network_of_all_former_layers(x):
    features = x
    for seed in range(3):
        new = jnp.tanh(weights(x, (3, features.size), seed) @ features)
        features = jnp.concatenate([features, new])
    return features[2:]


@program(4)
def layer_norm(x):
    h = 1.3 * _layer_norm(weights(x, (7, 4)) @ x) + 0.2
    return weights(x, (3, 7)) @ jnp.tanh(h)


@program(6)
def rms_norm_of_tokens(x):
    h = x.reshape(3, 2) @ weights(x, (2, 5))
    h = h * lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-3)
    return (h @ weights(x, (5, 1)))[:, 0]


@program(8)
def group_norm(x):
    h = (weights(x, (12, 8)) @ x).reshape(3, 4)
    return weights(x, (2, 12)) @ jax.nn.gelu(_layer_norm(h)).reshape(-1)


@program(8)
def batch_norm_over_tokens(x):
    h = x.reshape(4, 2) @ weights(x, (2, 3))
    return jnp.tanh(_layer_norm(h, axis=0)).sum(0)


@program(6)
def attention(x):
    tokens = x.reshape(2, 3)
    q, k, v = (tokens @ weights(x, (3, 4), seed) for seed in range(3))
    return weights(x, (2, 8)) @ _attend(q, k, v).reshape(-1)


@program(6)
def attention_causal_with_heads(x):
    tokens = x.reshape(3, 2)
    q, k, v = (jnp.einsum("tc,hcd->htd", tokens, weights(x, (2, 2, 3), s)) for s in range(3))
    return _attend(q, k, v, jnp.tri(3, dtype=bool)).sum((0, 2))


@program(6)
def attention_rotary(x):
    tokens = x.reshape(3, 2) @ weights(x, (2, 4))
    angle = np.arange(3)[:, None] * np.array([1.0, 0.1])
    a, b = jnp.split(tokens, 2, axis=-1)
    turned = jnp.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], axis=-1
    )
    return _attend(turned, turned, tokens)[1]


@program(6)
def transformer_block(x):
    h = x.reshape(3, 2) @ weights(x, (2, 4)) + weights(x, (3, 4), 5)
    a = _layer_norm(h)
    h = h + _attend(a @ weights(x, (4, 4), 1), a @ weights(x, (4, 4), 2), a)
    h = h + jax.nn.gelu(_layer_norm(h) @ weights(x, (4, 6))) @ weights(x, (6, 4))
    return h.mean(0)[:2]


@program(8)
def tokens_of_their_own_until_attention(x):
    h = x.reshape(4, 2)
    for seed in range(2):
        h = jnp.tanh(h @ weights(x, (h.shape[1], 3), seed))
    return _attend(h, h, h).mean(0)


@program(12)
def pixels_of_their_own_until_pooling(x):
    image = x.reshape(2, 3, 2)
    h = jnp.tanh(jnp.einsum("hwc,cd->hwd", image, weights(x, (2, 4))))
    h = jax.nn.silu(jnp.einsum("hwc,cd->hwd", h, weights(x, (4, 3))))
    return jnp.tanh(h.mean((0, 1)))


@program(6)
def mixer(x):
    h = x.reshape(3, 2)
    h = h + jax.nn.gelu(h.T @ weights(x, (3, 4))).sum(-1)
    h = h + weights(x, (3, 5)) @ jnp.tanh(weights(x, (5, 3)) @ h)
    return (h @ weights(x, (2, 3))).sum(0)


@program(6)
def deep_sets(x):
    h = jax.nn.softplus(x.reshape(3, 2) @ weights(x, (2, 5)))
    return weights(x, (2, 5)) @ jnp.tanh(h.sum(0)) * x.reshape(3, 2).max(0)


@program(4)
def experts_gated_by_softmax(x):
    gates = jax.nn.softmax(weights(x, (3, 4)) @ x)
    experts = jnp.tanh(weights(x, (3, 2, 4)) @ x)
    return gates @ experts


@program(5)
def expert_chosen_by_argmax(x):
    scores = weights(x, (3, 5)) @ x
    chosen = jnp.argmax(scores)
    return jnp.tanh(weights(x, (3, 4, 5))[chosen] @ x) * jax.nn.sigmoid(scores[chosen])


@program(5)
def hypernetwork(x):
    made = jnp.tanh(weights(x, (12, 3)) @ x[:3])
    return made.reshape(3, 4) @ jnp.sin(weights(x, (4, 2)) @ x[3:])


@program(4)
def lstm(x):
    sequence = jnp.concatenate([x.reshape(2, 2), weights(x, (1, 2))])
    hidden = cell = jnp.zeros(3, x.dtype)
    for step in sequence:
        gates = weights(x, (12, 2)) @ step + weights(x, (12, 3)) @ hidden
        i, f, g, o = jnp.split(gates, 4)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return hidden


@program(6)
def gru_by_scan(x):
    def step(h, token):
        z, r = jax.nn.sigmoid(weights(x, (2, 4, 6)) @ jnp.concatenate([token, h]))
        new = jnp.tanh(weights(x, (4, 6), 1) @ jnp.concatenate([token, r * h]))
        return (1 - z) * h + z * new, h.sum()

    last, sums = lax.scan(step, jnp.zeros(4, x.dtype), x.reshape(3, 2))
    return jnp.concatenate([last, sums])


@program(5)
def graph_network_by_segment_sum(x):
    senders, receivers = np.array([0, 1, 1, 2, 4, 3]), np.array([1, 0, 2, 3, 3, 4])
    messages = jnp.tanh(x[senders] * x[receivers] + x[senders])
    return jnp.sin(jax.ops.segment_sum(messages, receivers, num_segments=5)) + x**2


@program(4)
def dropout_with_a_fixed_key(x):
    kept = jax.random.bernoulli(jax.random.key(3), 0.6, (8,))
    h = jnp.where(kept, jnp.tanh(weights(x, (8, 4)) @ x) / 0.6, 0.0)
    return weights(x, (2, 8)) @ h
