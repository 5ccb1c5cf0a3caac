"""Networks that tests of derived quantities name as `network.target`, and functions of `mine`."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from hyperdiag import derivatives
from hyperdiag.derived.rows import Names, Rows

STRIKE = 100.0
# Of `bowl`: y = b x + x A x / 2, with the mixed derivatives A.
A = np.array([[1.2, -0.7, 0.4], [-0.7, -0.9, 0.3], [0.4, 0.3, 0.5]])
B = np.array([0.8, -0.5, 0.3])


def bowl():
    """Two quadratic outputs: with mixed derivatives, and without."""

    def function(x):
        a = jnp.asarray(A, x.dtype)
        plain = jnp.diag(jnp.diag(a))
        return jnp.stack([0.5 * x @ a @ x, 0.5 * x @ plain @ x]) + jnp.asarray(B, x.dtype) @ x

    return function


def curved():
    """Two outputs of tanh, with derivatives of every order."""
    w = np.random.default_rng(7).normal(size=(6, 3))
    v = np.random.default_rng(8).normal(size=(2, 6))

    def function(x):
        return jnp.asarray(v, x.dtype) @ jnp.tanh(jnp.asarray(w, x.dtype) @ x + 0.3)

    return function


def black_scholes():
    """The price of a European call: spot, volatility, rate and time to expiry in years."""

    def function(x):
        spot, vol, rate, time = x
        root = vol * jnp.sqrt(time)
        d1 = (jnp.log(spot / STRIKE) + (rate + vol * vol / 2) * time) / root
        return spot * norm.cdf(d1) - STRIKE * jnp.exp(-rate * time) * norm.cdf(d1 - root)

    return function


def lines():
    """A value that is zero where a is, and one that never is."""
    return lambda x: jnp.stack([x[0] * x[1], 3 + x[1] * x[1]])


def rows_of(function, points, columns=None, directions=None, **options):
    """Return float64 rows of inputs a, b, ... and outputs u, v, ... with all their derivatives."""
    names = tuple("abcdefgh"[: points.shape[1]])
    quantities = ["value", "jacobian", "hessian_diag", "hessian"]
    bundle = derivatives(function, points.shape[1], dtype="float64", outputs=quantities)
    arrays = {name: np.asarray(array) for name, array in bundle(points)._asdict().items()}
    outputs = tuple("uvwxyz"[: arrays["value"].shape[1]])
    columns = {name: np.asarray(c, float)[:, None] for name, c in (columns or {}).items()}
    return Rows(Names(names, directions or names, outputs), points, arrays, columns, **options)


def largest_move(x, y, J, D):
    """A function of a user's: the largest change for a hundredth of an input."""
    moves = np.abs(J * 0.01 * x[:, None, :])
    return np.stack([moves.max(axis=2)[:, 0], (D * J).sum(axis=(1, 2))], axis=1)


largest_move.columns = {"largest_move": "of the output", "twist": ""}


def discounted(x, y, J, D, rate=0.0, tags=(), exact=False):
    """A function of a user's that has options."""
    return np.exp(-rate) * y[:, 0]


discounted.columns = {"discounted": "EUR"}
