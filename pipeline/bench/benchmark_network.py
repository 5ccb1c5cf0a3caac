"""What a benchmark network is, and the few tools that all of them are built with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Function = Callable[[jax.Array], jax.Array]


def standard_normal(count: int, n: int) -> np.ndarray:
    """Return points (count, n), float64: standard normal, the same in every process."""
    return np.random.default_rng(0).standard_normal((count, n))


@dataclass(frozen=True)
class BenchmarkNetwork:
    """A network that the contestants are timed on.

    Attributes:
        name: what `bench.networks` calls it.
        description: one line for people.
        build: from a dtype's name to a *fresh* function of one point, (n,) to (m,). Fresh, since
            JAX keeps a NumPy float64 array that a function closes over in the precision of its
            first trace; a float64 reference must not share a function with a float32 contestant.
        n: inputs.
        m: outputs.
        rows: points of one timed call: 0.1 to 0.4 s of jvp of jvp on one core.
        widths: (n, ..., m) where the network is a plain chain of dense layers with an activation
            on all but the last; None elsewhere.
        draw: from (count, n) to points (count, n), float64, that suit the network.
    """

    name: str
    description: str
    build: Callable[[str], Function]
    n: int
    m: int
    rows: int
    widths: tuple[int, ...] | None = None
    draw: Callable[[int, int], np.ndarray] = standard_normal

    def points(self, count: int) -> np.ndarray:
        """Return the first `count` points of the network, (count, n), float32."""
        return self.draw(count, self.n).astype(np.float32)


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (inputs, outputs) and biases (outputs,) of a layer z = x W + b, float64.

    Weights are normal with variance 1 / inputs, so that signals keep their size.
    """
    matrix = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
    return matrix, 0.1 * rng.standard_normal(outputs)


def like(x: jax.Array, weights: Any) -> Any:
    """Return a tree of NumPy weights as arrays of the dtype of `x`."""
    return jax.tree.map(lambda array: jnp.asarray(array, x.dtype), weights)


def apply(layer: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    """Return x W + b, for x of shape (..., inputs)."""
    matrix, bias = layer
    return x @ matrix + bias
