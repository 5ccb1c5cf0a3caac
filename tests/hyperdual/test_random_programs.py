"""Programs that nobody chose: random sequences of operations, against the dense Hessian."""

from functools import partial
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from jax import lax

from hyperdiag.hyperdual import OWN_METHODS, derivatives

from .programs._check import QUICK, assert_close, each, reference
from .programs._program import weights

LARGEST = 24


@jax.custom_jvp
def _ruled(v):
    return jnp.sin(1.1 * v)


# Not the derivative of the function, so that ignoring the rule is seen.
_ruled.defjvps(lambda tangent, value, v: tangent * (jnp.cos(0.7 * v) + 0.1 * value))


def _matrix(v):
    return v.reshape(v.shape[0], -1)


def _fit(v, shape):
    """The entries of v, over and over again or cut off, in another shape."""
    return jnp.resize(v, shape) if v.size else jnp.zeros(shape, v.dtype)


def _axis(v, k):
    return k % v.ndim


def _dense(v, k):
    """The last axis through a matrix of weights."""
    return v @ (weights(v, (v.shape[-1], 1 + k % 4), seed=k) / np.sqrt(v.shape[-1]))


def _scan(v, w, k):
    """A recurrence along the first axis, from zeros or from entries of w."""
    start = jnp.zeros(v.shape[1:], v.dtype) if k % 2 else jnp.cos(_fit(w, v.shape[1:]))
    step = lambda h, row: (jnp.tanh(0.7 * h + row), h * row)
    last, rows = lax.scan(step, start, v, reverse=k % 3 == 0)
    return jnp.concatenate([rows, last[None]])


def _loop(v, w, k):
    body = lambda i, h: jnp.sin(h + 0.3 * i) * _fit(w, v.shape) + v
    return lax.fori_loop(0, k % 3 + (k % 2) * (jnp.sum(v) > 0.3719), body, jnp.cos(v))


def _attend(v, k):
    tokens = _dense(v, k).reshape(-1, 1 + k % 4)
    return jax.nn.softmax(tokens @ tokens.T / 2, axis=-1) @ tokens


def _pad(v, k):
    low, high, inner = ((0, 2, 0), (-1, 1, 1), (1, 0, 2), (1, -1, 0))[k % 4]
    return lax.pad(v, 0.1 * jnp.sum(v), [(low, high, inner)] + [(0, 0, 0)] * (v.ndim - 1))


def _convolve(v, w, k):
    kernel = jnp.tanh(_fit(w, (1, 1, 2))) if k % 2 else weights(v, (1, 1, 2), seed=k)
    return lax.conv_general_dilated(v.reshape(1, 1, -1), kernel, (1 + k % 3 // 2,), "SAME")[0]


def _scatter(v, w, k):
    places = np.array([0, k % v.size, v.size // 2])
    return v.reshape(-1).at[places].add(jnp.sin(_fit(w, (3,))))


# From a value, another value and a number (which axis, which weights, ...) to a new value.
EVERYWHERE = {
    "tanh": lambda v, w, k: jnp.tanh(v),
    "sin": lambda v, w, k: jnp.sin((1 + k % 2) * v),
    "softplus": lambda v, w, k: jax.nn.softplus(v) - 0.5,
    "sigmoid": lambda v, w, k: jax.nn.sigmoid(v),
    "gelu": lambda v, w, k: jax.nn.gelu(v, approximate=bool(k % 2)),
    "bell": lambda v, w, k: jnp.exp(-(v**2)),
    "root": lambda v, w, k: jnp.sqrt(1 + v**2) - 1,
    "rational": lambda v, w, k: v / (1 + v * v),
    "kink": lambda v, w, k: jnp.maximum(v, 0.1234) * jnp.cos(v),
    "rule": lambda v, w, k: _ruled(v),
    "checkpoint": lambda v, w, k: jax.checkpoint(lambda h: jnp.sin(jnp.tanh(h) * h))(v),
    "jit": lambda v, w, k: jax.jit(lambda h, g: jnp.cos(h) * jnp.sum(jnp.sin(g)) / 3)(v, w),
    "add": lambda v, w, k: (v + _fit(w, v.shape)) / 2,
    "multiply": lambda v, w, k: v * jnp.sin(_fit(w, v.shape)),
    "divide": lambda v, w, k: v / (2 + jnp.cos(_fit(w, v.shape))),
    "broadcast": lambda v, w, k: v[..., None] * jnp.tanh(_fit(w, (1 + k % 3,))),
    "concatenate": lambda v, w, k: jnp.concatenate([v.reshape(-1), w.reshape(-1)]),
    "stop": lambda v, w, k: v * lax.stop_gradient(jnp.cos(v)),
    "new_axis": lambda v, w, k: jnp.expand_dims(v, _axis(v, k)),
    "empty": lambda v, w, k: v.reshape(-1)[:0],
}
NOT_EMPTY = {
    "dense": lambda v, w, k: _dense(v, k),
    "residual": lambda v, w, k: v + 0.5 * jnp.sin(_fit(_dense(jnp.tanh(v), k), v.shape)),
    "gram": lambda v, w, k: jnp.tanh(_matrix(v)) @ jnp.tanh(_matrix(v)).T / 2,
    "einsum": lambda v, w, k: jnp.einsum(
        "ab,cb,c->ac", _matrix(v), jnp.sin(_fit(w, (2, _matrix(v).shape[1]))), weights(v, (2,), k)
    ),
    "attend": lambda v, w, k: _attend(v, k),
    "convolve": _convolve,
    "sum": lambda v, w, k: jnp.sum(v, _axis(v, k)) / 2,
    "mean": lambda v, w, k: v - jnp.mean(v, _axis(v, k), keepdims=True),
    "maximum": lambda v, w, k: jnp.max(v, _axis(v, k)),
    "product": lambda v, w, k: jnp.prod(1 + 0.4 * jnp.sin(v), _axis(v, k)) - 0.5,
    "logsumexp": lambda v, w, k: jax.nn.logsumexp(v, _axis(v, k)) - 1,
    "softmax": lambda v, w, k: jax.nn.softmax(2 * v, _axis(v, k)),
    "norm": lambda v, w, k: jax.nn.standardize(v, _axis(v, k), epsilon=0.1),
    "cumsum": lambda v, w, k: jnp.cumsum(v, _axis(v, k)) / 2,
    "cumprod": lambda v, w, k: jnp.cumprod(jnp.cos(v), _axis(v, k)),
    "sort": lambda v, w, k: jnp.sort(v, _axis(v, k)),
    "transpose": lambda v, w, k: jnp.moveaxis(v, 0, -1),
    "tokens": lambda v, w, k: _fit(v, (2, -(-v.size // 2))),
    "slice": lambda v, w, k: v[k % 2 :: 1 + k % 3],
    "flip_and_roll": lambda v, w, k: jnp.roll(jnp.flip(v, _axis(v, k)), 1 + k % 3),
    "pad": lambda v, w, k: _pad(v, k),
    "gather": lambda v, w, k: v[np.arange(k % 4, k % 4 + 3) % v.shape[0]],
    "scatter": _scatter,
    "scan": _scan,
    "loop": _loop,
    "cond": lambda v, w, k: lax.cond(
        jnp.sum(v) > 0.3719, jnp.tanh, lambda h: h * jnp.sin(_fit(w, v.shape)), v
    ),
    "vmap": lambda v, w, k: jax.vmap(lambda row: row * jnp.sin(jnp.sum(row)))(v),
    "spectrum": lambda v, w, k: jnp.abs(jnp.fft.rfft(v, axis=-1) + 2) - 2,
}


def _run(steps, outputs, x):
    """Each step makes a new value from two of the former; the outputs mix the last four."""
    values = [x]
    for name, first, second, k in steps:
        v, w = values[-1 - first % len(values)], values[-1 - second % len(values)]
        if name in EVERYWHERE:
            made = EVERYWHERE[name](v, w, k)
        elif v.size:
            made = NOT_EMPTY[name](v, w, k)
        else:
            made = jnp.pad(v.reshape(-1), (0, 2))
        values.append(jnp.atleast_1d(made) if made.size <= LARGEST else made.reshape(-1)[:LARGEST])
    last = jnp.concatenate([value.reshape(-1) for value in values[-4:]])
    return weights(x, (*outputs, last.size), seed=1) @ last


STEP = st.tuples(
    st.sampled_from([*EVERYWHERE, *NOT_EMPTY]),
    st.sampled_from([0, 0, 1, 2]),  # the value it acts on: most often the last
    st.integers(0, 5),
    st.integers(0, 11),
)


# All parts draw the same programs, and each checks those that fall to it, so that processes share
# them.
PARTS = 5


@pytest.mark.one_in(100)
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    steps=st.lists(STEP, min_size=3, max_size=12),
    n=st.integers(1, 6),
    outputs=st.sampled_from([(), (1,), (3,)]),
)
def test_random_program_by_each_method_equals_the_dense_hessian(part, steps, n, outputs):
    if crc32(repr((steps, n, outputs)).encode()) % PARTS != part:
        return
    note(" -> ".join([f"x: {n}", *(name for name, *_ in steps), f"y: {outputs}"]))
    fn = partial(_run, steps, outputs)
    points = np.random.default_rng(n).standard_normal((2, n))
    options = None if {"maximum", "kink"} & {name for name, *_ in steps} else QUICK
    expected = each(partial(reference, fn, first=jax.jacfwd), points, options)
    assert all(np.isfinite(array).all() for array in expected)
    bundles = [derivatives(fn, n, method, dtype="float64", tile=2) for method in OWN_METHODS]
    together = lambda x: [bundle(x) for bundle in bundles]  # one program, for XLA's sake
    with jax.enable_x64(True):
        results = jax.jit(together, compiler_options=options)(points)
    for method, derived in zip(OWN_METHODS, results, strict=True):
        assert_close(derived, expected, note=f"by {method}")
