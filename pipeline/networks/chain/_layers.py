"""The layers of a chain: what each computes, and which arrays it computes with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from ..activations import ACTIVATIONS, KINKED

Arrays = Mapping[str, np.ndarray]

# The arrays of a layer, by what they are for; as the names in an .npz file begin.
MATRIX, BIAS = "W", "b"
SCALE, SHIFT, MEAN, VARIANCE = "scale", "shift", "mean", "variance"


@dataclass(frozen=True)
class Dense:
    """z = W x + b, then the activation, W of shape (outputs, inputs)."""

    inputs: int
    outputs: int
    activation: str = "identity"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its arrays."""
        return {MATRIX: (self.outputs, self.inputs), BIAS: (self.outputs,)}

    def __call__(self, x: jax.Array, arrays: Iterator[Arrays]) -> jax.Array:
        """Return what it computes of x, with the next arrays."""
        own = _as(next(arrays), x)
        return ACTIVATIONS[self.activation](own[MATRIX] @ x + own[BIAS])

    def __str__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs}, {self.activation})"


@dataclass(frozen=True)
class Normalization:
    """g (x - mean) / sqrt(variance + epsilon) + b, then the activation.

    A layer norm takes mean and variance over the numbers of x itself (Ba, Kiros & Hinton 2016, eq.
    3); an RMS norm the mean of their squares, with no mean and no b (Zhang & Sennrich 2019, eq. 4);
    a batch norm those that were kept in training (Ioffe & Szegedy 2015, algorithm 2).
    """

    kind: str
    size: int
    activation: str = "identity"
    epsilon: float = 1e-5

    @property
    def inputs(self) -> int:
        """How many numbers it takes."""
        return self.size

    outputs = inputs

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its arrays."""
        names = {"RMSNorm": [SCALE], "LayerNorm": [SCALE, SHIFT]}.get(
            self.kind, [SCALE, SHIFT, MEAN, VARIANCE]
        )
        return dict.fromkeys(names, (self.size,))

    def __call__(self, x: jax.Array, arrays: Iterator[Arrays]) -> jax.Array:
        """Return what it computes of x, with the next arrays."""
        own = _as(next(arrays), x)
        if self.kind == "RMSNorm":
            centered, variance = x, jnp.mean(x * x)
        elif self.kind == "LayerNorm":
            centered = x - jnp.mean(x)
            variance = jnp.mean(centered * centered)
        else:
            centered, variance = x - own[MEAN], own[VARIANCE]
        z = own[SCALE] * centered / jnp.sqrt(variance + self.epsilon)
        return ACTIVATIONS[self.activation](z + own[SHIFT] if SHIFT in own else z)

    def __str__(self) -> str:
        return f"{self.kind}({self.size}, {self.activation}, eps={self.epsilon!r})"


@dataclass(frozen=True)
class Activation:
    """An activation alone."""

    activation: str

    def __call__(self, x: jax.Array, arrays: Iterator[Arrays]) -> jax.Array:
        """Return what it computes of x."""
        del arrays
        return ACTIVATIONS[self.activation](x)

    def __str__(self) -> str:
        return self.activation


@dataclass(frozen=True)
class Skip:
    """x + what the layers compute of x."""

    layers: tuple["Layer", ...]

    def __call__(self, x: jax.Array, arrays: Iterator[Arrays]) -> jax.Array:
        """Return what it computes of x, with the next arrays."""
        return x + apply_layers(self.layers, x, arrays)

    def __str__(self) -> str:
        return f"SkipConnection(Chain({', '.join(map(str, self.layers))}), +)"


Parametric = Dense | Normalization
Layer = Parametric | Activation | Skip


def apply_layers(layers: Sequence[Layer], x: jax.Array, arrays: Iterator[Arrays]) -> jax.Array:
    """Return what layers compute of a point, one after another.

    Args:
        layers: in order.
        x: the point (n,).
        arrays: of each parametric layer, in the order of `parametric`.
    """
    for layer in layers:
        x = layer(x, arrays)
    return x


def parametric(layers: Sequence[Layer]) -> list[Parametric]:
    """Return the layers that have arrays, in the order in which they are computed."""
    result: list[Parametric] = []
    for layer in layers:
        if isinstance(layer, Skip):
            result += parametric(layer.layers)
        elif not isinstance(layer, Activation):
            result.append(layer)
    return result


def ends(layer: Layer) -> tuple[int, int] | None:
    """Return how many numbers a layer takes and gives; None for any number."""
    if isinstance(layer, Activation):
        return None
    if not isinstance(layer, Skip):
        return layer.inputs, layer.outputs
    sizes = [size for size in map(ends, layer.layers) if size]
    return (sizes[0][0], sizes[-1][1]) if sizes else None


def kinked(layers: Sequence[Layer], place: str = "") -> Iterator[str]:
    """Yield each layer whose activation has a kink, with its number."""
    for number, layer in enumerate(layers, start=1):
        if isinstance(layer, Skip):
            yield from kinked(layer.layers, f"{place}{number}.")
        elif layer.activation in KINKED:
            yield f"layer {place}{number} ({layer.activation})"


def misfits(layers: Sequence[Layer], place: str = "") -> Iterator[str]:
    """Yield a sentence for each layer that takes other numbers than the one before gives."""
    sized: list[tuple[str, tuple[int, int]]] = []
    for number, layer in enumerate(layers, start=1):
        at, size = f"{place}{number}", ends(layer)
        if isinstance(layer, Skip):
            yield from misfits(layer.layers, f"{at}.")
            if size and size[0] != size[1]:
                yield (
                    f"network.layers: layer {at} adds what it takes, {size[0]} numbers, to the "
                    f"{size[1]} that its layers give"
                )
        if size:
            sized.append((at, size))
    for (first, (_, gives)), (second, (takes, _)) in pairwise(sized):
        if gives != takes:
            yield (
                f"network.layers: layer {first} gives {gives} numbers, layer {second} takes {takes}"
            )


def _as(arrays: Arrays, x: jax.Array) -> dict[str, jax.Array]:
    """Return arrays in the dtype of the point."""
    return {name: jnp.asarray(array, x.dtype) for name, array in arrays.items()}


def names_of(layers: Sequence[Parametric]) -> list[dict[str, str]]:
    """Return, for each layer, what its arrays are called in an .npz file: {W: W1, b: b1}.

    Dense layers are counted from 1, and normalization layers are, too.
    """
    counts = {Dense: 0, Normalization: 0}
    names = []
    for layer in layers:
        counts[type(layer)] += 1
        names.append({key: f"{key}{counts[type(layer)]}" for key in layer.shapes})
    return names
