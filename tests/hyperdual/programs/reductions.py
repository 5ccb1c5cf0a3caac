"""Reductions, windows, running sums, statistics."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@program(4)
def product_of_coordinates(x):
    return jnp.prod(x) ** 2


@program(6)
def reduce_prod_of_rows(x):
    return jnp.prod(jnp.sin(x.reshape(2, 3)) + x.reshape(2, 3), axis=1)


@program(6)
def reduce_max_and_min(x):
    h = weights(x, (3, 4, 6)) @ x
    return h.max(0)[1:] ** 2 * h.min((0, 1))


@program(4)
def reduce_by_a_function_of_ones_own(x):
    h = weights(x, (3, 4)) @ x
    return lax.reduce(h, np.float64(0), lambda a, b: a + b + a * b, (0,))


@program(5)
def mean_variance_and_deviation(x):
    h = weights(x, (3, 5)) @ x
    return jnp.stack([h.mean(), h.var(), h.std(ddof=1), jnp.average(h**2, weights=x[:3] ** 2)])


@program(5)
def cumulative_sum(x):
    return jnp.sin(jnp.cumsum(x)) + lax.cumsum(x**2, reverse=True)


@program(6)
def cumulative_product(x):
    h = jnp.cumprod(jnp.sin(x).reshape(3, 2) + 1.5, axis=0).reshape(-1)
    return h * lax.cumprod(x, reverse=True)


@program(5)
def cumulative_maximum(x):
    return lax.cummax(x) ** 3 + jnp.sin(lax.cummin(weights(x, (5, 5)) @ x))


@program(6)
def cumulative_logsumexp(x):
    return lax.cumlogsumexp(x.reshape(2, 3), axis=1).reshape(-1)


@program(9)
def pooling_by_overlapping_maximum(x):
    h = jnp.tanh(weights(x, (9, 9)) @ x).reshape(3, 3)
    pooled = lax.reduce_window(h, -np.inf, lax.max, (2, 2), (1, 1), ((0, 1), (1, 0)))
    return jnp.exp(pooled).sum(1)


@program(8)
def pooling_by_maximum_of_features_apart(x):
    h = jnp.tanh(weights(x, (20, 8)) @ x).reshape(1, 5, 2, 2)
    pooled = lax.reduce_window(h, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
    return jnp.exp(pooled).sum((0, 2)).reshape(-1)


@program(7)
def pooling_by_dilated_minimum(x):
    h = jnp.sin(weights(x, (9, 7)) @ x)
    return lax.reduce_window(h, np.inf, lax.min, (3,), (2,), ((1, 2),), base_dilation=(2,)) ** 2


@program(9)
def pooling_by_minimum_along_two_axes(x):
    h = jnp.tanh(weights(x, (9, 9)) @ x).reshape(3, 3)
    pooled = lax.reduce_window(h, np.inf, lax.min, (2, 2), (1, 1), ((0, 1), (1, 0)))
    return jnp.exp(pooled).sum(0)


@program(6)
def pooling_by_maximum_of_many(x):
    h = jnp.sin(weights(x, (40, 6)) @ x)
    return lax.reduce_window(h, -np.inf, lax.max, (20,), (10,), "VALID") ** 2


@program(6)
def pooling_by_maximum_of_what_has_not_mixed(x):
    h = jnp.stack([x, jnp.sin(x), x**2], axis=1)
    return lax.reduce_window(h, -np.inf, lax.max, (1, 2), (1, 1), "VALID").sum(1) ** 2


@program(8)
def pooling_by_mean(x):
    pooled = lax.reduce_window(jnp.exp(x).reshape(2, 4), 0.0, lax.add, (2, 3), (1, 1), "SAME") / 6
    return jnp.log(pooled).sum(0)


@program(7)
def quantiles_and_median(x):
    h = jnp.sin(x) * x
    return jnp.append(jnp.quantile(h, jnp.asarray([0.2, 0.7])), jnp.median(x**2))
