"""Odd shapes and degenerate outputs: empty arrays, one input, constants, x itself."""

import jax
import jax.numpy as jnp
import numpy as np

from ._program import collector, weights

PROGRAMS, program = collector()


@program(4, flat=True)
def output_is_x(x):
    return x


@program(3, flat=True)
def output_is_constant(x):
    return jnp.asarray([1.0, -2.0], x.dtype)


@program(3, flat=True)
def output_is_affine(x):
    return weights(x, (2, 3)) @ (x[::-1] - 1) + 5


@program(3)
def output_is_partly_constant(x):
    return jnp.concatenate([jnp.ones(2, x.dtype), x[:1] ** 3, jnp.zeros(1, x.dtype), x[1:]])


@program(3)
def output_twice_the_same(x):
    h = jnp.exp(x[0] * x[1])
    return jnp.stack([h, h, x[2]])


@program(4)
def output_is_a_scalar(x):
    return jnp.sin(x @ x)


@program(1)
def one_input_one_output(x):
    return jnp.sin(3 * x) * x


@program(1)
def one_input_scalar_output(x):
    return jnp.exp(jnp.squeeze(x)) ** 2


@program(1)
def one_input_many_outputs(x):
    return weights(x, (4, 5)) @ jnp.tanh(weights(x, (5, 1)) @ x)


@program(4)
def axes_of_length_one(x):
    h = jnp.tanh(x.reshape(1, 1, 4) @ weights(x, (1, 4, 1)))
    return jax.nn.softmax(h, axis=1).reshape(1) + jnp.squeeze(h, 0).mean(0) ** 2


@program(3)
def slices_of_length_zero(x):
    empty = jnp.sin(x[3:])
    return jnp.concatenate([empty, x**2, empty]) + empty.sum()


@program(3)
def contraction_of_length_zero(x):
    a, b = jnp.zeros((2, 0), x.dtype), x[:0].reshape(0, 3) ** 2
    return (a @ b).sum(0) + jnp.cos(x) * x[0]


@program(3)
def dense_layers_from_and_to_nothing(x):
    from_nothing = jnp.zeros((2, 0), x.dtype) @ jnp.sin(x[3:])
    to_nothing = jnp.zeros((0, 3), x.dtype) @ jnp.sin(x)
    return from_nothing + x[:2] ** 2 + to_nothing.sum()


@program(4)
def scan_of_length_zero(x):
    empty = x[:0].reshape(0, 2) ** 2
    last, ys = jax.lax.scan(lambda c, y: (c * y, c + y), jnp.sin(x[:2]), empty)
    return last + ys.sum(0)


@program(3)
def products_over_nothing(x):
    empty = jnp.exp(x[:0])
    return jnp.prod(empty) * x**3 + jnp.cumsum(empty).sum()


@program(4)
def value_that_is_never_used(x):
    jnp.linalg.inv(jnp.outer(x, x) + jnp.eye(4))
    return x[1:] ** 2


@program(3)
def numpy_constant_without_a_dtype(x):
    return np.arange(1, 4) * x**2 + np.float32(0.5) * x
