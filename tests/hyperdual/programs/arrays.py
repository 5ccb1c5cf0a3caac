"""Shapes and products: reshaping, padding, joining, einsum."""

import jax.numpy as jnp
from jax import lax

from ._program import collector, weights

PROGRAMS, program = collector()


@program(12)
def reshape_and_transpose(x):
    h = jnp.sin(x.reshape(2, 3, 2)).transpose(2, 0, 1)
    return jnp.tanh(h.reshape(4, 3) @ weights(x, (3, 2))).T.reshape(-1)[:5]


@program(5)
def roll_and_flip(x):
    return jnp.roll(x**2, 2) * jnp.flip(jnp.sin(x)) + lax.rev(x, (0,))


@program(6)
def pad_negative_and_interior(x):
    h = jnp.exp(x).reshape(2, 3)
    return lax.pad(h, x[0] * x[1], ((1, 0, 1), (-1, 2, 0))).sum(0)


@program(6)
def concatenate_and_split(x):
    a, b, c = jnp.split(x, [1, 4])
    return jnp.concatenate([b * a, jnp.ones(2, x.dtype), c**2]) * jnp.sin(x[0])


@program(4)
def stack_tile_and_repeat(x):
    h = jnp.stack([x, jnp.cos(x)], axis=1)
    return jnp.tile(h, (1, 2)).sum(0) * jnp.repeat(x[:2], 2) + jnp.repeat(x**2, 2)[2:6]


@program(3)
def broadcast_against_itself(x):
    return jnp.tanh(x[:, None] * x - x[None, :] ** 2).sum(1)


@program(6)
def strided_slices(x):
    return x[::2] * jnp.sin(x[1::2]) + lax.slice(x, (1,), (6,), (2,)) ** 2 + x[::-2]


@program(4)
def triangles_and_diagonals(x):
    h = jnp.outer(x, jnp.sin(x))
    return jnp.triu(h, 1).sum(0) + jnp.tril(h).sum(1) + jnp.diag(jnp.diag(h)) @ x


@program(4)
def bilinear_form(x):
    return x @ weights(x, (4, 4)) @ x


@program(4)
def bilinear_layer(x):
    return jnp.einsum("i,kij,j->k", x, weights(x, (3, 4, 4)), jnp.tanh(x))


@program(6)
def matrix_product_of_active_operands(x):
    return (x.reshape(2, 3) @ jnp.sin(x).reshape(3, 2)).reshape(-1)


@program(12)
def einsum_with_batch_dimensions(x):
    a, b = x.reshape(2, 3, 2), jnp.cos(x).reshape(2, 2, 3)
    return jnp.einsum("bij,bjk->ki", a, b).reshape(-1)[:5]


@program(8)
def einsum_with_batch_in_the_middle(x):
    a, b = x[:6].reshape(3, 2), jnp.tanh(x.reshape(2, 4))
    return jnp.einsum("ib,bk,b->ki", a, b, x[6:]).reshape(-1)[2:7]


@program(9)
def einsum_of_a_trace_and_a_diagonal(x):
    h = jnp.sin(x).reshape(3, 3)
    return jnp.einsum("ii,ij->j", h, h) + jnp.einsum("ii->i", h**2)


@program(6)
def einsum_without_contraction(x):
    return jnp.einsum("i,jk->kij", x[:2], jnp.exp(x[2:]).reshape(2, 2)).reshape(-1)[1:6]


@program(6)
def dot_general_with_weights_on_the_left(x):
    batched = (((2,), (0,)), ((0,), (1,)))
    h = lax.dot_general(weights(x, (3, 4, 2)), jnp.sin(x).reshape(2, 3), batched)
    return (h**2).sum(0)
