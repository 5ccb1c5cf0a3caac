"""What a mask hides may be infinite, or no number: it is selected away, in every walk.

Each program is paired with the same function written without what is hidden, at the point given.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS

from .programs._check import QUICK, assert_close, reference
from .programs._program import weights

HALF = np.array([[True, True], [False, False]])
CAUSAL = np.array([[False, False], [True, False]])  # the first row attends to nothing


@jax.custom_jvp
def _root(x):
    return jnp.where(x > 0, jnp.sqrt(jnp.maximum(x, 0)), 0.0)


_root.defjvp(lambda p, t: (_root(*p), jnp.where(p[0] > 0, t[0] / (2 * _root(*p)), 0.0)))


def _masked_softmax(x):
    return jax.nn.softmax(x.reshape(2, 2) ** 2, where=HALF).reshape(-1)


def _attention(x):
    scores = jnp.where(CAUSAL, jnp.outer(x, x), -jnp.inf)
    return jnp.where(CAUSAL.any(axis=1), jax.nn.softmax(scores) @ x, 0.0)


def _scanned(x):
    turn = lambda c, a: (jnp.where(a > 0, c * jnp.log(a), c + a**2), None)
    return lax.scan(turn, x[1], x)[0]


def _mixed(x):
    return weights(x, (2, 2)) @ x


def _unless(hidden, shown=lambda x: x**2):
    """`hidden` where the first input is positive, which it is not."""
    return lambda x: jnp.where(x[0] > 0, hidden(x), shown(x))


PROGRAMS = {  # name: (with what is hidden, without it, point)
    "softmax of a row that is masked": (
        _masked_softmax,
        lambda x: jnp.append(jax.nn.softmax(x[:2] ** 2), jnp.zeros(2)),
        [0.3, 0.7, 1.1, 0.2],
    ),
    "attention of a row that is masked": (
        _attention,
        lambda x: jnp.stack([jnp.zeros(()), x[0]]),
        [0.4, 1.3],
    ),
    "vector over its square": (
        lambda x: jnp.where(jnp.sum(x**2) > 0, x / jnp.sum(x**2), 0.0),
        jnp.zeros_like,
        [0.0, 0.0],
    ),
    "vector over its square, and on": (
        lambda x: jnp.sin(
            _mixed(x) + _mixed(jnp.where(jnp.sum(x**2) > 0, x / jnp.sum(x**2), 0.0))
        ),
        lambda x: jnp.sin(_mixed(x)),
        [0.0, 0.0],
    ),
    "normalised vector": (
        lambda x: jnp.where(jnp.sum(x**2) > 0, x / jnp.linalg.norm(x), x) ** 2,
        lambda x: x**2,
        [0.0, 0.0],
    ),
    "relu of a root": (
        lambda x: jax.nn.relu(_mixed(jnp.sqrt(x)) - 9) + x**2,
        lambda x: x**2,
        [0.0, 0.3],
    ),
    "maximum": (
        lambda x: jnp.maximum(_mixed(jnp.sqrt(x)) - 9, x**2),
        lambda x: x**2,
        [0.0, 0.3],
    ),
    "minimum with a constant": (
        lambda x: jnp.minimum(_mixed(jnp.sqrt(x)) + 9, 5.0) * x**3,
        lambda x: 5 * x**3,
        [0.0, 0.3],
    ),
    "clip": (
        lambda x: jnp.clip(_mixed(jnp.sqrt(x)), 7.0, 9.0) * x**3,
        lambda x: 7 * x**3,
        [0.0, 0.3],
    ),
    "rule of its own": (
        lambda x: _root(_mixed(_root(x)) - 9) + x**2,
        lambda x: x**2,
        [0.0, 0.3],
    ),
    "largest": (
        lambda x: jnp.max(jnp.log(jnp.stack([x[0], 1 + x[1]]))) * x**3,
        lambda x: jnp.log(1 + x[1]) * x**3,
        [0.0, 2.0],
    ),
    "smallest of each row": (
        lambda x: jnp.min(jnp.stack([9 + jnp.sqrt(x), x**2]), axis=0) ** 2,
        lambda x: x**4,
        [0.0, 0.3],
    ),
    "running maximum": (
        lambda x: lax.cummax(jnp.append(9 - jnp.cos(x[1]), jnp.sqrt(x))),
        lambda x: 9 - jnp.cos(jnp.stack([x[1]] * 3)),
        [0.0, 2.0],
    ),
    "running minimum from the end": (
        lambda x: lax.cummin(jnp.append(9 + jnp.sqrt(x), jnp.cos(x[1])), reverse=True),
        lambda x: jnp.cos(jnp.stack([x[1]] * 3)),
        [0.0, 2.0],
    ),
    "place that is written over": (
        lambda x: jnp.sqrt(x).at[jnp.array([0])].set(x[1] ** 2) ** 2,
        lambda x: jnp.stack([x[1] ** 4, x[1]]),
        [0.0, 2.0],
    ),
    "largest by sorting": (
        lambda x: jnp.sort(jnp.sqrt(x))[1:] ** 4,
        lambda x: x[1:] ** 2,
        [0.0, 2.0],
    ),
    "choice of three": (
        lambda x: lax.select_n(np.array([0, 1]), x**2, jnp.log(x), jnp.sqrt(_mixed(x) - 9)),
        lambda x: jnp.stack([x[0] ** 2, jnp.log(x[1])]),
        [-1.0, 2.0],
    ),
    "pairs of a point with itself": (
        lambda x: jnp.triu(1 / jnp.linalg.norm(x.reshape(2, 1, 2) - x.reshape(2, 2), axis=-1), 1),
        lambda x: jnp.triu(jnp.full((2, 2), jnp.linalg.norm(x[:2] - x[2:]) ** -1.0), 1),
        [0.1, 0.2, 0.3, 0.5],
    ),
    "loop": (_scanned, lambda x: (x[1] + x[0] ** 2) * jnp.log(x[1]), [0.0, 0.5]),
    "product of matrices": (
        _unless(lambda x: (jnp.outer(x, x) / x[0]) @ x),
        lambda x: x**2,
        [0.0, 2.0],
    ),
    "inverse": (_unless(lambda x: jnp.linalg.inv(jnp.outer(x, x)) @ x), lambda x: x**2, [0.0, 2.0]),
    "product": (_unless(lambda x: jnp.prod(x) / x[0] * x), lambda x: x**2, [0.0, 2.0]),
    "branch": (
        _unless(lambda x: lax.cond(x[1] > 0, lambda x: 1 / x, jnp.sin, x)),
        lambda x: x**2,
        [0.0, 0.5],
    ),
    "convolution": (
        _unless(lambda x: jnp.convolve(1 / x, jnp.sqrt(x))[:2]),
        lambda x: x**2,
        [0.0, 0.5],
    ),
}  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_not_selected_spoils_nothing(name):
    hiding, plain, point = PROGRAMS[name]
    vector = lambda fn: lambda z: jnp.ravel(fn(z))
    ours = lambda z: [METHODS[m].function(vector(hiding), z) for m in OWN_METHODS]
    together = lambda z: (reference(vector(plain), z), ours(z))
    with jax.enable_x64(True):
        wanted, all_found = jax.jit(together, compiler_options=QUICK)(jnp.asarray(point, float))
    for method, found in zip(OWN_METHODS, all_found, strict=True):
        assert_close(found, wanted, note=f"by {method}")


@pytest.mark.parametrize("method", OWN_METHODS)
def test_infinite_derivative_that_is_selected_stays_no_number(method):
    fn = lambda x: jnp.stack([jnp.where(x[0] >= 0, jnp.sqrt(x[0]) * x[1], 0.0), x[1] ** 2])
    with jax.enable_x64(True):
        _, jacobian, diagonal = METHODS[method].function(fn, jnp.array([0.0, 2.0]))
    assert not np.isfinite(jacobian[0, 0])
    assert not np.isfinite(diagonal[0, 0])
    np.testing.assert_allclose(diagonal[1], [0, 2])
