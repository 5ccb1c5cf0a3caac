"""Networks drawn at random, which nobody can have tuned to: of many kinds, sizes and activations.

A seed gives the same networks everywhere. Tune on some seeds, and report on others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import multiply_adds

from .benchmark_network import BenchmarkNetwork, Function
from .composed import (
    Activation,
    chain,
    convolutional,
    ensemble,
    fourier,
    gated,
    mixture,
    normed_residual,
    projected,
    skipping,
)
from .structured import deep_sets, recurrent, transformer

_ACTIVATIONS: dict[str, Activation] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu": jax.nn.gelu,
    "leaky relu": jax.nn.leaky_relu,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "tanh": jnp.tanh,
}
# The most multiply-adds of jvp of jvp for one row: what takes longer is drawn again.
_MOST_WORK = 5e8
# Those of a timed call, about; the rows that it has, and the most entries of its Jacobian: those of
# a run's batch. Beyond, whoever is timed may wait for fresh pages longer than for its own work.
_CALL_WORK = 4e9
_ROWS = (16, 65_536)
_MOST_ENTRIES = 2**21


@dataclass(frozen=True)
class _Drawn:
    """A network as it was drawn.

    Attributes:
        what: its sizes and activation.
        n: inputs.
        build: from a generator of weights to the function.
        widths: as of a `BenchmarkNetwork`.
    """

    what: str
    n: int
    build: Callable[[np.random.Generator], Function]
    widths: tuple[int, ...] | None = None


def draw_networks(seed: int, count: int) -> list[BenchmarkNetwork]:
    """Return so many networks, of each kind as often as of any other, or once more.

    Args:
        seed: of the draw; the first networks of one count are those of another.
        count: how many.
    """
    kinds = list(_KINDS)
    order: list[str] = []
    while len(order) < count:
        turn = np.random.default_rng([seed, len(order)]).permutation(len(kinds))
        order += [kinds[at] for at in turn]
    return [_network(kind, seed, number) for number, kind in enumerate(order[:count])]


def _network(kind: str, seed: int, number: int) -> BenchmarkNetwork:
    for again in range(1000):
        entropy = [seed, number, again]
        drawn = _KINDS[kind](np.random.default_rng(entropy))

        def build(dtype: str, drawn: _Drawn = drawn, entropy: list[int] = entropy) -> Function:
            del dtype  # functions take that of their point
            return drawn.build(np.random.default_rng([*entropy, 1]))

        work = (1 + 2 * drawn.n) * _work(build("float32"), drawn.n)
        if work <= _MOST_WORK:
            break
    else:
        raise AssertionError(f"{kind}: all draws are too large")
    m = jax.eval_shape(build("float32"), jax.ShapeDtypeStruct((drawn.n,), "float32")).shape[0]
    rows = 2 ** round(math.log2(min(_CALL_WORK / work, _MOST_ENTRIES / (m * drawn.n))))
    return BenchmarkNetwork(
        name=f"{number + 1}-{kind.replace(' ', '-')}",
        description=f"{kind}: {drawn.what}",
        build=build,
        n=drawn.n,
        m=m,
        rows=min(max(rows, _ROWS[0]), _ROWS[1]),
        widths=drawn.widths,
    )


def _work(fn: Function, n: int) -> int:
    """Return the multiply-adds of one evaluation of a function of (n,)."""
    traced = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((n,), "float32"))
    return sum(map(multiply_adds, traced.eqns))


def _between(rng: np.random.Generator, least: int, most: int) -> int:
    """Return a whole number within bounds, small ones as often as large ones by their logarithm."""
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))


def _activation(rng: np.random.Generator) -> tuple[str, Activation]:
    name = str(rng.choice(list(_ACTIVATIONS)))
    return name, _ACTIVATIONS[name]


def _widths(rng: np.random.Generator, least: int, most: int, deepest: int) -> list[int]:
    """Return widths of hidden layers: one for all, as often as one for each."""
    depth = int(rng.integers(1, deepest + 1))
    if rng.random() < 0.5:
        return [_between(rng, least, most)] * depth
    return [_between(rng, least, most) for _ in range(depth)]


def _sizes(rng: np.random.Generator, inputs: int = 1000, outputs: int = 300) -> tuple[int, int]:
    return _between(rng, 1, inputs), _between(rng, 1, outputs)


def _shape(widths: list[int]) -> str:
    return "-".join(map(str, widths))


def _dense(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng), _activation(rng)
    widths = [n, *_widths(rng, 4, 512, 6), m]
    return _Drawn(
        f"{_shape(widths)}, {name}", n, lambda rng: chain(rng, widths, act), tuple(widths)
    )


def _narrow(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng), _activation(rng)
    inside, waist = _widths(rng, 16, 256, 2), _between(rng, 1, 8)
    widths = [n, *inside, waist, *inside[::-1], m]
    return _Drawn(
        f"{_shape(widths)}, {name}", n, lambda rng: chain(rng, widths, act), tuple(widths)
    )


def _residual(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 300), _activation(rng)
    width, blocks = _between(rng, 16, 256), int(rng.integers(1, 5))
    norm = str(rng.choice(["layer", "rms", "none"]))
    return _Drawn(
        f"{n}-{width}, {blocks} blocks, norm {norm}, -{m}, {name}",
        n,
        lambda rng: normed_residual(rng, n, width, blocks, m, norm, act),
    )


def _gated(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 300), _activation(rng)
    widths = [n, *_widths(rng, 8, 256, 3), m]
    return _Drawn(f"{_shape(widths)}, {name}", n, lambda rng: gated(rng, widths, act))


def _fourier(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 30, 30), _activation(rng)
    features, widths = _between(rng, 8, 128), [*_widths(rng, 16, 256, 3), m]
    return _Drawn(
        f"{n}, {features} frequencies, -{_shape(widths)}, {name}",
        n,
        lambda rng: fourier(rng, n, features, widths, act),
    )


def _ensemble(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 100, 30), _activation(rng)
    members, widths = int(rng.integers(2, 11)), [n, *_widths(rng, 8, 128, 3), m]
    return _Drawn(
        f"{members} of {_shape(widths)}, {name}",
        n,
        lambda rng: ensemble(rng, members, widths, act),
    )


def _skipping(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 300), _activation(rng)
    width, layers = _between(rng, 8, 128), int(rng.integers(2, 6))
    return _Drawn(
        f"{n}, {layers} layers of {width}, -{m}, {name}",
        n,
        lambda rng: skipping(rng, n, width, layers, m, act),
    )


def _projected(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = (_between(rng, 50, 1000), _between(rng, 1, 30)), _activation(rng)
    widths = [_between(rng, 2, 20), *_widths(rng, 16, 256, 3), m]
    return _Drawn(
        f"{n} inputs, {widths[0]} components, -{_shape(widths[1:])}, {name}",
        n,
        lambda rng: projected(rng, n, widths, act),
    )


def _mixture(rng: np.random.Generator) -> _Drawn:
    (n, m), (name, act) = _sizes(rng, 100, 30), _activation(rng)
    experts, widths = int(rng.integers(2, 7)), [n, *_widths(rng, 8, 128, 3), m]
    return _Drawn(
        f"{experts} of {_shape(widths)}, {name}", n, lambda rng: mixture(rng, experts, widths, act)
    )


def _convolutional(rng: np.random.Generator, rank: int) -> _Drawn:
    (name, act), m = _activation(rng), _between(rng, 1, 30)
    sides = [_between(rng, 6, 64) if rank == 1 else _between(rng, 5, 16)] * rank
    channels = [int(rng.integers(1, 4)), *_widths(rng, 4, 32, 3)]
    window, stride = int(rng.choice([2, 3, 5])), int(rng.integers(1, 3))
    pool, first = str(rng.choice(["none", "mean", "max"])), bool(rng.integers(2))
    n = math.prod(sides) * channels[0]
    size = "x".join(map(str, sides))
    layers = ", ".join(f"{a} to {b}" for a, b in pairwise(channels))
    return _Drawn(
        f"{size}, channels {'first' if first else 'last'}, {layers}, windows of {window}, "
        f"stride {stride}, pool {pool}, -{m}, {name}",
        n,
        lambda rng: convolutional(rng, sides, channels, window, stride, pool, first, m, act),
    )


def _attention(rng: np.random.Generator) -> _Drawn:
    tokens, features, heads = (int(rng.integers(*ends)) for ends in ((2, 13), (1, 7), (1, 5)))
    width, layers, m = heads * _between(rng, 4, 24), int(rng.integers(1, 3)), _between(rng, 1, 30)
    return _Drawn(
        f"{tokens} tokens of {features}, width {width}, {layers} layers, {heads} heads, -{m}, gelu",
        tokens * features,
        lambda rng: transformer(tokens, features, width, layers, heads, m),
    )


def _recurrent(rng: np.random.Generator) -> _Drawn:
    steps, features = int(rng.integers(3, 25)), int(rng.integers(1, 6))
    width, m = _between(rng, 8, 96), _between(rng, 1, 30)
    return _Drawn(
        f"gated unit of {width}, {steps} steps of {features}, -{m}",
        steps * features,
        lambda rng: recurrent(steps, features, width, m),
    )


def _sets(rng: np.random.Generator) -> _Drawn:
    members, features = int(rng.integers(2, 25)), int(rng.integers(1, 6))
    width, m = _between(rng, 8, 96), _between(rng, 1, 30)
    return _Drawn(
        f"{members} members of {features}, width {width}, -{m}, tanh",
        members * features,
        lambda rng: deep_sets(members, features, width, m),
    )


_KINDS: dict[str, Callable[[np.random.Generator], _Drawn]] = {
    "dense": _dense,
    "narrow waist": _narrow,
    "residual": _residual,
    "gated": _gated,
    "fourier features": _fourier,
    "ensemble": _ensemble,
    "skip connections": _skipping,
    "principal components": _projected,
    "mixture of experts": _mixture,
    "convolution 1d": lambda rng: _convolutional(rng, 1),
    "convolution 2d": lambda rng: _convolutional(rng, 2),
    "attention": _attention,
    "recurrent": _recurrent,
    "deep sets": _sets,
}
