"""Factorisations, solves, matrix functions, implicit functions."""

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import lax
from jax.experimental import sparse

from ._program import collector, weights

PROGRAMS, program = collector()


def _matrix(x, size=3):
    """A matrix of (size, size) that depends on all of x and is far from singular."""
    made = jnp.sin(weights(x, (size, size, x.size)) @ x)
    return made + jnp.diag(jnp.arange(3.0, 3.0 + 2 * size, 2.0, dtype=x.dtype))


def _definite(x, size=3):
    a = _matrix(x, size)
    return a @ a.T / size


@program(3)
def solve_of_an_active_system(x):
    return jnp.linalg.solve(_matrix(x), jnp.exp(x))


@program(3)
def solve_of_a_fixed_system(x):
    fixed = weights(x, (3, 3)) + 3 * jnp.eye(3)
    return jnp.tanh(jnp.linalg.solve(fixed, x**2))


@program(3)
def inverse(x):
    return jnp.linalg.inv(_matrix(x))[0]


@program(4)
def determinant(x):
    return jnp.linalg.det(_matrix(x, 2)) * x[0]


@program(4)
def log_determinant(x):
    sign, logarithm = jnp.linalg.slogdet(_matrix(x))
    return sign * logarithm


@program(3)
def cholesky(x):
    return jnp.linalg.cholesky(_definite(x))[2]


@program(3)
def lu_factors(x):
    _, lower, upper = jsl.lu(_matrix(x))
    return jnp.append(lower[2, :2], upper[0])


@program(3)
def qr_factors(x):
    q, r = jnp.linalg.qr(_matrix(x))
    return (q * r).sum(0)


@program(4)
def qr_of_a_tall_matrix(x):
    h = jnp.concatenate([_matrix(x, 2), jnp.cos(x[:2])[None]])
    return jnp.linalg.qr(h)[1].reshape(-1)


@program(3)
def eigenvectors_of_a_symmetric_matrix(x):
    values, vectors = jnp.linalg.eigh(_definite(x))
    return (vectors**2 * values).sum(1) + vectors[0] * vectors[1]


@program(3)
def singular_values(x):
    return jnp.linalg.svd(_matrix(x), compute_uv=False)


@program(3)
def singular_vectors(x):
    u, s, vt = jnp.linalg.svd(_matrix(x), full_matrices=False)
    return (u * jnp.log(s)) @ vt[:, 0]


@program(3)
def matrix_exponential(x):
    return jsl.expm(0.2 * _matrix(x, 2)).reshape(-1)


@program(3)
def triangular_solve(x):
    return jsl.solve_triangular(_matrix(x), jnp.sin(x), lower=True, trans=1)


@program(3)
def triangular_solve_from_the_right(x):
    options = {"left_side": False, "lower": False, "unit_diagonal": True}
    return lax.linalg.triangular_solve(_matrix(x), jnp.exp(x)[None], **options)[0]


@program(4)
def tridiagonal_solve(x):
    lower, upper = jnp.append(0.0, x[1:]), jnp.append(x[:3], 0.0)
    return lax.linalg.tridiagonal_solve(lower, 4 + x**2, upper, jnp.sin(x)[:, None])[:, 0]


@program(3)
def linear_solve_of_ones_own(x):
    a = _definite(x)
    solve = lambda matvec, b: jsl.cho_solve(jsl.cho_factor(a), b)
    return lax.custom_linear_solve(lambda v: a @ v, x**2, solve, symmetric=True)


@program(2)
def root_of_ones_own(x):
    residual = lambda y: y**3 + y - x**2

    def solve(f, start):
        step = lambda y, _: (y - f(y) / (3 * y**2 + 1), None)
        return lax.scan(step, start, None, length=30)[0]

    tangent_solve = lambda g, b: jnp.linalg.solve(jax.jacobian(g)(b), b)
    return lax.custom_root(residual, jnp.zeros_like(x), solve, tangent_solve)


@program(4)
def sparse_matrix_product(x):
    dense = weights(x, (5, 4)) * (np.arange(20).reshape(5, 4) % 3 > 0)
    return jnp.tanh(sparse.BCOO.fromdense(dense, nse=13) @ x)
