"""What a program is, and what the tables share: weights, points, a decorator."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


def normal(rng, n):
    return rng.standard_normal(n)


def positive(rng, n):
    return rng.uniform(0.3, 2.0, n)


def inside_one(rng, n):
    return rng.uniform(-0.9, 0.9, n)


def above_one(rng, n):
    return rng.uniform(1.2, 3.0, n)


class Program(NamedTuple):
    """A function of one point, and what the tests must know of it.

    Attributes:
        fn: maps (n,) to (m,) or ().
        n: the number of inputs.
        draw: one point, from a NumPy generator and n. Outside of what it draws, fn may have kinks.
        rule: "jvp" if fn can be differentiated either way, "forward" if not in reverse
            (`while`), "reverse" if not forward (`custom_vjp`).
        flat: the Hessian diagonal is zero at every point.
    """

    fn: Callable[[jax.Array], jax.Array]
    n: int
    draw: Callable[[np.random.Generator, int], np.ndarray] = normal
    rule: str = "jvp"
    flat: bool = False

    def points(self, rows):
        rng = np.random.default_rng(self.n)
        return np.stack([self.draw(rng, self.n) for _ in range(rows)])


def collector():
    """Return an empty table, and a decorator that enters a function into it by its name."""
    table = {}

    def program(n, **known):
        def enter(fn):
            assert fn.__name__ not in table, fn.__name__
            table[fn.__name__] = Program(fn, n, **known)
            return fn

        return enter

    return table, program


def weights(x, shape, seed=0):
    """Return a fixed matrix, or tensor, of the dtype of x."""
    drawn = np.random.default_rng((seed, *shape)).standard_normal(shape)
    return jnp.asarray(drawn / np.sqrt(shape[-1]), x.dtype)


def averages(x, rows, seed=0):
    """Return `rows` weighted means of the entries of x, which stay within their range."""
    drawn = np.random.default_rng((seed, rows)).dirichlet(np.ones(x.size), rows)
    return jnp.asarray(drawn, x.dtype) @ x
