"""Gather, scatter, slices, sorting: where entries go, and who decides it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@program(6)
def gather_rows(x):
    return jnp.sin(x.reshape(3, 2)[np.array([2, 0, 2, 1])]).prod(1) * x[0]


@program(6)
def gather_points_and_slices(x):
    h = jnp.tanh(x).reshape(2, 3)
    return h[np.array([0, 1]), np.array([2, 0])] * h[:, np.array([[1], [2]])].sum((0, 2))


@program(5)
def gather_beyond_the_end(x):
    filled = jnp.take(x**2, np.array([4, 7, 1]), mode="fill", fill_value=0.5)
    return filled * jnp.take(jnp.sin(x), np.array([9, 0, 2]), mode="clip")


@program(5)
def index_by_argmax(x):
    best = jnp.argmax(weights(x, (5, 5)) @ x)
    return jnp.stack([x[best] ** 3, jnp.sin(x[(best + 2) % 5])])


@program(5)
def one_hot_of_argmin(x):
    return jax.nn.one_hot(jnp.argmin(x), 5, dtype=x.dtype) @ (weights(x, (5, 3)) * x[:3] ** 2)


@program(6)
def scatter_set(x):
    return (x[:5] ** 2).at[np.array([3, 0])].set(jnp.sin(x[4:]))


@program(6)
def scatter_add_to_one_place_twice(x):
    return jnp.exp(x[:3]).at[np.array([1, 1, 2])].add(x[3:] ** 3) * x[0]


@program(5)
def scatter_multiply(x):
    return x[:4].at[np.array([2, 0])].multiply(jnp.cos(x[1:3]) + x[4], unique_indices=True)


@program(6)
def scatter_maximum(x):
    return (x[:4] ** 2).at[np.array([0, 3, 3])].max(x[3:] * x[0])


@program(6)
def scatter_by_active_order(x):
    order = jnp.argsort(x)
    return jnp.zeros(6, x.dtype).at[order].set(jnp.sin(x) * weights(x, (6,)))


@program(6)
def scatter_a_window(x):
    return jnp.tanh(weights(x, (3, 4))).at[1:, :3].add(x.reshape(2, 3) ** 2).sum(0) * x[0]


@program(6)
def dynamic_slice_from_x(x):
    start = jnp.floor(jnp.abs(x[0]) * 2).astype(int)
    return lax.dynamic_slice(jnp.sin(x) * x[5], (start,), (3,))


@program(6)
def dynamic_update_slice_from_x(x):
    start = jnp.where(x[1] > 0, 1, 3)
    return lax.dynamic_update_slice(x**2, jnp.cos(x[:2] * x[2:4]), (start,))


@program(5)
def sort(x):
    return jnp.sort(jnp.sin(x) * 2) ** 2 * weights(x, (5,))


@program(6)
def sort_columns_downwards(x):
    h = weights(x, (6, 6)) @ x
    return jnp.tanh(jnp.sort(h.reshape(3, 2), axis=0, descending=True)).reshape(-1)


@program(6)
def sort_with_companions(x):
    keys, values = lax.sort((x[:3], jnp.exp(x[3:])), num_keys=1)
    return keys * values


@program(5)
def top_k(x):
    values, places = lax.top_k(weights(x, (5, 5)) @ x, 3)
    return values**2 * x[places]


@program(6)
def take_along_axis(x):
    h = jnp.sin(x).reshape(2, 3)
    return jnp.take_along_axis(h, np.array([[2, 0], [1, 1]]), axis=1).prod(0) + x[:2]
