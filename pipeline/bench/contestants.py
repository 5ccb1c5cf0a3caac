"""The contestants: our engine, and the baselines, which are what one would write without it.

Each gets a function of one point, (n,) to (m,), and returns a callable from points (rows, n) to the
arrays that it gives. Baselines are untiled, `jit` of `vmap`, and share nothing with
`hyperdiag.hyperdual`: what is timed is what stands here.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import jet

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError, closest
from hyperdiag.messages.log import at_level

from .benchmark_network import Function

# Rows of a tile that are tried for the Jacobian alone, and rows of the trial.
_TILES, _TILED_ROWS = (4, 16, 64, 256), 256

Batched = Callable[[Any], tuple[jax.Array, ...]]

# value (rows, m); jacobian (rows, m, n); hessian_diag (rows, m, n); laplacian (rows, m), its sum
# over the inputs.
ALL = ("value", "jacobian", "hessian_diag")


@dataclass(frozen=True)
class Contestant:
    """One way to the derivatives of a function, to be timed and checked.

    Attributes:
        name: what `bench.contestants` calls it.
        description: one line for people.
        build: from a function and n to a jitted callable of points (rows, n).
        gives: the names of the arrays that the callable returns, in order.
        requires: a package that it needs, or None.
    """

    name: str
    description: str
    build: Callable[[Function, int], Batched]
    gives: tuple[str, ...] = ALL
    requires: str | None = None


def ours(fn: Function, n: int) -> Batched:
    """Our engine, with the method and tile that it chooses itself."""
    return derivatives(fn, n, method="auto")


def jvp_of_jvp(fn: Function, n: int) -> Batched:
    """Forward over forward, once for each input."""

    def along(x: jax.Array, direction: jax.Array) -> tuple[jax.Array, ...]:
        def dual(point: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.jvp(fn, (point,), (direction,))

        (value, slope), (_, curvature) = jax.jvp(dual, (x,), (direction,))
        return value, slope, curvature

    def at_point(x: jax.Array) -> tuple[jax.Array, ...]:
        directions = jnp.eye(n, dtype=x.dtype)
        return jax.vmap(along, in_axes=(None, 0), out_axes=(None, -1, -1))(x, directions)

    return jax.jit(jax.vmap(at_point))


def taylor(fn: Function, n: int) -> Batched:
    """Second-order Taylor series by `jax.experimental.jet`, once for each input."""

    def along(x: jax.Array, direction: jax.Array) -> tuple[jax.Array, ...]:
        value, (slope, curvature) = jet.jet(fn, (x,), ((direction, jnp.zeros_like(x)),))
        return value, slope, curvature

    def at_point(x: jax.Array) -> tuple[jax.Array, ...]:
        # jet's value is batched along with its series: one copy for each direction.
        value, jacobian, hessian_diag = jax.vmap(along, in_axes=(None, 0), out_axes=(0, -1, -1))(
            x, jnp.eye(n, dtype=x.dtype)
        )
        return value[0], jacobian, hessian_diag

    return jax.jit(jax.vmap(at_point))


def reverse_over_forward(fn: Function, n: int) -> Batched:
    """Backpropagation through dual numbers: the gradient of each J[j, i], of which one is kept."""

    def along(x: jax.Array, direction: jax.Array) -> tuple[jax.Array, ...]:
        def dual(point: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            value, slope = jax.jvp(fn, (point,), (direction,))
            return slope, (value, slope)

        gradients, (value, slope) = jax.jacrev(dual, has_aux=True)(x)
        return value, slope, gradients @ direction

    def at_point(x: jax.Array) -> tuple[jax.Array, ...]:
        directions = jnp.eye(n, dtype=x.dtype)
        return jax.vmap(along, in_axes=(None, 0), out_axes=(None, -1, -1))(x, directions)

    return jax.jit(jax.vmap(at_point))


def dense_hessian(fn: Function, n: int) -> Batched:
    """The whole Hessian by `jax.hessian`, of which the diagonal is kept."""
    del n

    def at_point(x: jax.Array) -> tuple[jax.Array, ...]:
        hessian_diag = jnp.diagonal(jax.hessian(fn)(x), axis1=-2, axis2=-1)
        return fn(x), jax.jacfwd(fn)(x), hessian_diag

    return jax.jit(jax.vmap(at_point))


def jacfwd(fn: Function, n: int) -> Batched:
    """The Jacobian alone, no second derivative: what all others are compared with."""
    del n
    jacobian = jax.jit(jax.vmap(jax.jacfwd(fn)))
    return lambda x: (jacobian(x),)


def jacfwd_tiled(fn: Function, n: int) -> Batched:
    """The Jacobian alone, in a loop over tiles of the size that is fastest of a few."""
    points = np.random.default_rng(0).standard_normal((_TILED_ROWS, n)).astype(np.float32)
    seconds: dict[int, float] = {}
    calls = {tile: _in_tiles(jax.jacfwd(fn), tile) for tile in _TILES}
    for tile, call in calls.items():
        jax.block_until_ready(call(points))
        began = time.perf_counter()
        jax.block_until_ready(call(points))
        seconds[tile] = time.perf_counter() - began
    return calls[min(seconds, key=lambda tile: seconds[tile])]


def _in_tiles(fn: Function, tile: int) -> Batched:
    return jax.jit(lambda x: (jax.lax.map(fn, x, batch_size=tile),))


def folx(fn: Function, n: int) -> Batched:
    """The forward Laplacian of folx (Li et al. 2023): less than the others give, the sum over i."""
    del n
    from folx import forward_laplacian  # late: an optional package

    forward = forward_laplacian(fn, disable_jit=True)  # it is jitted here, as a whole

    def at_point(x: jax.Array) -> tuple[jax.Array, ...]:
        with at_level("", logging.CRITICAL):  # folx warns, time and again, where it has no rule
            result = forward(x)
        return result.x, result.jacobian.dense_array.T, result.laplacian

    return jax.jit(jax.vmap(at_point))


OURS, JVP_OF_JVP = "ours", "jvp_of_jvp"
JACOBIAN_ALONE, JACOBIAN_TILED = "jacfwd", "jacfwd_tiled"

_ALL = (
    Contestant(OURS, "derivatives(fn, n): value, Jacobian and Hessian diagonal", ours),
    Contestant(JVP_OF_JVP, "forward over forward", jvp_of_jvp),
    Contestant("taylor", "jax.experimental.jet", taylor),
    Contestant(
        "reverse_over_forward", "backpropagation through dual numbers", reverse_over_forward
    ),
    Contestant("dense_hessian", "jax.hessian, its diagonal kept", dense_hessian),
    Contestant(JACOBIAN_ALONE, "the Jacobian alone, as a yardstick", jacfwd, gives=("jacobian",)),
    Contestant(JACOBIAN_TILED, "the Jacobian alone, in tiles", jacfwd_tiled, gives=("jacobian",)),
    Contestant(
        "folx",
        "forward Laplacian: the sum of the diagonal only",
        folx,
        gives=("value", "jacobian", "laplacian"),
        requires="folx",
    ),
)

CONTESTANTS: dict[str, Contestant] = {contestant.name: contestant for contestant in _ALL}


def choose_contestants(names: Sequence[str] | None = None) -> tuple[list[Contestant], list[str]]:
    """Return the contestants to be timed, and a sentence for each that had to be left out.

    Args:
        names: from `CONTESTANTS`; None means all whose packages are installed.

    Raises:
        UsageError: naming each unknown name, and each named one whose package is missing.
    """
    wanted = list(dict.fromkeys(names if names is not None else CONTESTANTS))
    problems = [
        f"bench.contestants: there is no '{name}'{closest(name, CONTESTANTS)}; "
        f"there are {', '.join(CONTESTANTS)}"
        for name in wanted
        if name not in CONTESTANTS
    ]
    known = [CONTESTANTS[name] for name in wanted if name in CONTESTANTS]
    missing = [
        f"{contestant.name} is left out: it needs the package {contestant.requires} "
        "(pip install 'hyperdiag[bench]')"
        for contestant in known
        if contestant.requires and find_spec(contestant.requires) is None
    ]
    if problems or (missing and names is not None):
        raise UsageError(problems + (missing if names is not None else []))
    chosen = [each for each in known if not each.requires or find_spec(each.requires)]
    return chosen, missing
