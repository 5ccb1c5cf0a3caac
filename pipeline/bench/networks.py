"""The benchmark networks: from four layers of a forum thread to a transformer.

An entry of `_ALL` adds one. Rows are such that the jvp of a jvp takes 0.1 to 0.4 s for them on
one core.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.messages.errors import UsageError, closest
from hyperdiag.networks import build_network

from .benchmark_network import BenchmarkNetwork, Function
from .dense import mlp, preprocessed, residual, siren
from .structured import convolution, deep_sets, graph, pixels, recurrent, transformer


def _in_every_dtype(builder: Callable[..., Function], *sizes: object) -> Callable[[str], Function]:
    """Return a builder whose functions take the dtype of their point."""
    return lambda dtype: builder(*sizes)


def _mlp(rows: int, widths: tuple[int, ...], note: str = "") -> BenchmarkNetwork:
    hidden = [f"{width}" for width in widths[1:-1]]
    if len(set(hidden)) == 1 and len(hidden) > 1:
        hidden = [f"{hidden[0]}x{len(hidden)}"]
    shape = "-".join([str(widths[0]), *hidden, str(widths[-1])])
    return BenchmarkNetwork(
        name=f"mlp-{shape}",
        description=f"dense layers, tanh{note}",
        build=_in_every_dtype(mlp, widths, jnp.tanh),
        n=widths[0],
        m=widths[-1],
        rows=rows,
        widths=widths,
    )


def _chain(rows: int, widths: tuple[int, int, int]) -> BenchmarkNetwork:
    n, hidden, m = widths
    layers = f"Chain(Dense({n},{hidden},elu), Dense({hidden},{m}))"

    def build(dtype: str) -> Function:
        return build_network({"name": "chain", "layers": layers}, dtype).function

    return BenchmarkNetwork(f"chain-{n}-{hidden}-{m}", layers, build, n, m, rows, widths)


def _qlknn(rows: int) -> BenchmarkNetwork:
    def build(dtype: str) -> Function:
        return build_network({"name": "qlknn"}, dtype).function

    def draw(count: int, n: int) -> np.ndarray:
        del n
        return build_network({"name": "qlknn"}).typical_points(count)

    what = "QLKNN 7_11, a plasma-transport surrogate: 10-133x5-8, tanh"
    return BenchmarkNetwork("qlknn", what, build, 10, 8, rows, (10, *[133] * 5, 8), draw)


def _uniform(low: float, high: float, count: int, n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, (count, n))


_ALL = (
    _chain(65_536, (5, 3, 3)),
    _chain(65_536, (10, 5, 3)),
    _qlknn(8192),
    _mlp(32768, (9, 64, 64, 64, 1)),
    _mlp(1024, (32, 256, 256, 256, 256, 1)),
    _mlp(192, (50, 768, 768, 512, 512, 1), "; the network that torch-jet is timed on"),
    _mlp(96, (784, 256, 256, 10), ", as for digits"),
    _mlp(3072, (25, 128, 128, 128, 128, 198), ", many outputs"),
    BenchmarkNetwork(
        name="siren-3-256x4-3",
        description="SIREN: dense layers, sin, w0 = 30",
        build=_in_every_dtype(siren, (3, 256, 256, 256, 256, 3)),
        n=3,
        m=3,
        rows=4096,
        widths=(3, 256, 256, 256, 256, 3),
        draw=partial(_uniform, -1.0, 1.0),
    ),
    BenchmarkNetwork(
        name="preprocessed",
        description="log, exp and standardised inputs, then 12-64x2-3, tanh",
        build=_in_every_dtype(preprocessed, (12, 64, 64, 3)),
        n=12,
        m=3,
        rows=32768,
        draw=partial(_uniform, 0.5, 2.0),
    ),
    BenchmarkNetwork(
        name="residual",
        description="16-128, 4 residual blocks with layer norm, gelu, -4",
        build=_in_every_dtype(residual, 16, 128, 4, 4),
        n=16,
        m=4,
        rows=2048,
    ),
    BenchmarkNetwork(
        name="transformer",
        description="8 tokens x 4 features, width 64, 2 layers, 4 heads, pre-norm, gelu",
        build=_in_every_dtype(transformer, 8, 4, 64, 2, 4, 2),
        n=32,
        m=2,
        rows=64,
    ),
    BenchmarkNetwork(
        name="convolution",
        description="12x12 image, two 3x3 convolutions (16, 32 channels), silu, mean, dense",
        build=_in_every_dtype(convolution, 12, 10),
        n=144,
        m=10,
        rows=32,
    ),
    BenchmarkNetwork(
        name="pixels",
        description="8x8 pixels x 3 channels, two 1x1 convolutions (32), silu, mean, 32-32-4",
        build=_in_every_dtype(pixels, 8, 3, 32, 4),
        n=192,
        m=4,
        rows=64,
    ),
    BenchmarkNetwork(
        name="deep-sets",
        description="16 members x 4 features, 4-64-64 each, sum, 64-64-2, tanh",
        build=_in_every_dtype(deep_sets, 16, 4, 64, 2),
        n=64,
        m=2,
        rows=192,
    ),
    BenchmarkNetwork(
        name="graph",
        description="16 nodes x 3 features, 48 edges, 3 rounds of messages, width 32, tanh",
        build=_in_every_dtype(graph, 16, 3, 32, 3),
        n=48,
        m=1,
        rows=128,
    ),
    BenchmarkNetwork(
        name="recurrent",
        description="GRU of width 32 along 16 steps x 2 features",
        build=_in_every_dtype(recurrent, 16, 2, 32, 2),
        n=32,
        m=2,
        rows=2048,
    ),
)

NETWORKS: dict[str, BenchmarkNetwork] = {network.name: network for network in _ALL}


def choose_networks(names: Sequence[str] | None = None) -> tuple[list[BenchmarkNetwork], list[str]]:
    """Return the networks to be timed, and a sentence for each that had to be left out.

    Args:
        names: from `NETWORKS`; None means all that can be built here.

    Raises:
        UsageError: naming each unknown name, or saying why a named network cannot be built.
    """
    unknown = [name for name in names or () if name not in NETWORKS]
    if unknown:
        raise UsageError(
            [
                f"bench.networks: there is no '{name}'{closest(name, NETWORKS)}; "
                f"there are {', '.join(NETWORKS)}"
                for name in unknown
            ]
        )
    chosen, left_out = [], []
    for name in dict.fromkeys(names if names is not None else NETWORKS):
        network = NETWORKS[name]
        try:
            jax.eval_shape(network.build("float32"), jax.ShapeDtypeStruct((network.n,), "float32"))
        except UsageError as error:  # an optional package is missing
            if names is not None:
                raise
            left_out.append(f"{name} is left out: {error}")
        else:
            chosen.append(network)
    return chosen, left_out
