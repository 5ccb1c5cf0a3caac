"""Scaling of what goes into a chain, and of what comes out of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.messages.errors import UsageError

# Of each kind: what is subtracted, and what the rest is divided by.
_KINDS: dict[tuple[str, str], Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    ("mean", "scale"): lambda mean, scale: (mean, scale),
    ("min", "max"): lambda low, high: (low, high - low),
}


@dataclass(frozen=True)
class Scaling:
    """x to (x - offset) / scale, number by number; the inverse of it for outputs.

    Attributes:
        offset: float64, (n,).
        scale: likewise.
        ends: [low, high] of each number, (n, 2), where they are what is configured; otherwise
            offset and scale are a mean and a standard deviation.
    """

    offset: np.ndarray
    scale: np.ndarray
    ends: np.ndarray | None

    def scaled(self, x: jax.Array) -> jax.Array:
        """Return raw numbers in the units of the network."""
        return (x - jnp.asarray(self.offset, x.dtype)) / jnp.asarray(self.scale, x.dtype)

    def raw(self, z: jax.Array) -> jax.Array:
        """Return numbers of the network in raw units."""
        return jnp.asarray(self.offset, z.dtype) + jnp.asarray(self.scale, z.dtype) * z

    def ranges(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Return the ends of each number, by its name; none where they are not known."""
        ends = [] if self.ends is None else self.ends.tolist()
        return {name: (low, high) for name, (low, high) in zip(names, ends, strict=bool(ends))}

    def moments(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation of each number, by its name; none if not known."""
        if self.ends is not None:
            return {}
        pairs = zip(self.offset.tolist(), self.scale.tolist(), strict=True)
        return dict(zip(names, pairs, strict=True))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What it computes with."""
        return {"offset": self.offset, "scale": self.scale}


def named_arrays(option: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names of arrays of the weights' file that a scaling names."""
    yield from (value for value in (option or {}).values() if isinstance(value, str))


def scaling(
    what: str, option: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray], size: int
) -> Scaling | None:
    """Return the scaling that configuration says; None if it says none.

    Args:
        what: its name there.
        option: {mean, scale} or {min, max}: each a number, a list of them, or the name of an array.
        arrays: of the weights' file, by name.
        size: how many numbers are scaled.

    Raises:
        UsageError: if it is none of these, or has not as many numbers.
    """
    if option is None:
        return None
    kind = next((kind for kind in _KINDS if set(kind) == set(option)), None)
    if kind is None:
        raise UsageError(
            f"{what} must have mean and scale, or min and max; got {dict(option) or 'none of them'}"
        )
    first, second = (_numbers(f"{what}.{key}", option[key], arrays, size) for key in kind)
    offset, scale = _KINDS[kind](first, second)
    if not (scale > 0).all():
        raise UsageError(f"{what}: {kind[1]} must be {_POSITIVE[kind]} for each of them")
    return Scaling(offset, scale, np.stack([first, second], axis=1) if kind[0] == "min" else None)


_POSITIVE = {("mean", "scale"): "above zero", ("min", "max"): "above min"}


def _numbers(what: str, value: Any, arrays: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    if isinstance(value, str) and value not in arrays:
        raise UsageError(f"{what} names an array '{value}', and there is no file of weights")
    try:
        numbers = np.asarray(arrays[value] if isinstance(value, str) else value, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} must be a number or a list of {size}; got {value}") from error
    if numbers.size not in (1, size) or not np.isfinite(numbers).all():
        raise UsageError(f"{what} must be a finite number, or {size} of them; got {value}")
    return np.broadcast_to(numbers.reshape(-1), (size,))
