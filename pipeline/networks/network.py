"""What a network is: a function of one point, with names."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from hyperdiag.hyperdual import numerics, reason
from hyperdiag.messages.errors import Problems, UsageError, closest, listed
from hyperdiag.messages.wording import counted

Ranges = Mapping[str, tuple[float, float]]
Moments = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Network:
    """A function f: R^n -> R^m with fixed parameters, in raw units.

    Attributes:
        name: what configuration calls it.
        function: maps one point (n,) to (m,) or (); any function that JAX can trace.
        inputs: n distinct names, in the order of x.
        outputs: m distinct names, in the order of y.
        digest: hexadecimal digest of what the network computes (see `digest.py`).
        ranges: (low, high) for the inputs whose trained range is known, in raw units.
        description: one line for people.
        facts: further lines for people: what it is made of, where it has kinks.
        not_differentiated: inputs that are whole numbers, such as categories: the run leaves them
            out unless it is asked for them, and then their derivatives are zero.
        library_epsilon: of the arithmetic of that library, relative.
        library_values: maps points (rows, n), float64, to the values (rows, m) that the library
            computes from which the network came; None where there is no such library.
        moments: (mean, standard deviation) in training of the inputs of which these are known, in
            raw units.

    Raises:
        UsageError: if a name is empty or repeated, a range is not low < high of an input, or
            moments are not a mean and a deviation above zero of an input.
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    digest: str
    ranges: Ranges
    description: str = ""
    facts: tuple[str, ...] = ()
    not_differentiated: tuple[str, ...] = ()
    library_values: Callable[[np.ndarray], np.ndarray] | None = None
    library_epsilon: float = float(np.finfo(np.float32).eps)
    moments: Moments = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = Problems()
        for kind, names in (("input", self.inputs), ("output", self.outputs)):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            if repeated:
                problems.add(f"network '{self.name}' names {kind} {listed(repeated)} twice")
            if not names or not all(isinstance(name, str) and name for name in names):
                problems.add(f"network '{self.name}' needs {kind} names that are non-empty text")
        for name, (low, high) in self.ranges.items():
            if name not in self.inputs:
                problems.add(
                    f"network '{self.name}' has a range for '{name}', which is not an input"
                    f"{closest(name, self.inputs)}"
                )
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                problems.add(
                    f"network '{self.name}': the range of '{name}' must be finite with "
                    f"low < high; got [{low}, {high}]"
                )
        for name, pair in self.moments.items():
            if name not in self.inputs:
                problems.add(
                    f"network '{self.name}' has moments for '{name}', which is not an input"
                    f"{closest(name, self.inputs)}"
                )
            numbers = [number for number in pair if isinstance(number, int | float)]
            if not (len(numbers) == len(pair) == 2 and np.isfinite(pair).all() and pair[1] > 0):
                problems.add(
                    f"network '{self.name}': the moments of '{name}' must be a finite mean and a "
                    f"finite deviation above zero; got {pair}"
                )
        problems.check()

    @property
    def n_inputs(self) -> int:
        """n."""
        return len(self.inputs)

    @property
    def n_outputs(self) -> int:
        """m."""
        return len(self.outputs)

    def wrt(self, directions: Sequence[str]) -> list[int] | None:
        """Return the indices of the inputs of these names; None if they are all, in order."""
        if tuple(directions) == self.inputs:
            return None
        return [self.inputs.index(name) for name in directions]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper end of each input's range, (n,) each, float64.

        Infinite where no range is known.
        """
        low = [self.ranges.get(name, (-np.inf, np.inf))[0] for name in self.inputs]
        high = [self.ranges.get(name, (-np.inf, np.inf))[1] for name in self.inputs]
        return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)

    def typical_points(self, count: int, seed: int = 0) -> np.ndarray:
        """Return points (count, n), float64: uniform in the ranges, else normal.

        With the mean and the standard deviation in training where these are known, else 0 and 1.
        Of inputs that are whole numbers zeros, where no range is known: any other may be none of
        the categories that there are.
        """
        rng = np.random.default_rng(seed)
        low, high = self.bounds()
        known = np.isfinite(low)
        uniform = rng.uniform(np.where(known, low, 0), np.where(known, high, 1), (count, low.size))
        whole = np.array([name in self.not_differentiated for name in self.inputs])
        mean, deviation = np.array([self.moments.get(name, (0.0, 1.0)) for name in self.inputs]).T
        drawn = np.where(whole, 0, mean + deviation * rng.standard_normal((count, low.size)))
        return np.where(known, np.where(whole, np.round(uniform), uniform), drawn)


def named(prefix: str, count: int, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the given names, or prefix1, prefix2, ... where none are given.

    Raises:
        UsageError: if there are names, but not `count` of them.
    """
    if names is None:
        return tuple(f"{prefix}{index + 1}" for index in range(count))
    if len(names) != count:
        kind = "inputs" if prefix == "x" else "outputs"
        raise UsageError(f"network.{kind} has {len(names)} names; the network has {count} {kind}")
    return tuple(names)


def known_moments(pairs: Mapping[str, Sequence[float]]) -> Moments:
    """Return those that are a finite mean and a finite deviation above zero."""
    return {
        name: (mean, deviation)
        for name, (mean, deviation) in pairs.items()
        if np.isfinite(mean) and 0 < deviation < np.inf
    }


def checked_ranges(ranges: Mapping[str, Any] | None) -> Ranges:
    """Return configured ranges as pairs of floats.

    Raises:
        UsageError: naming each range that is not two numbers.
    """
    problems = Problems()
    checked: dict[str, tuple[float, float]] = {}
    for name, ends in (ranges or {}).items():
        try:
            low, high = (float(end) for end in ends)
        except (TypeError, ValueError):
            problems.add(f"the range of '{name}' must be two numbers, [low, high]; got {ends}")
        else:
            checked[name] = (low, high)
    problems.check()
    return checked


def output_size(function: Callable, n_inputs: int, dtype: str) -> int:
    """Return m of a function of one point, by tracing it (nothing is computed).

    Raises:
        UsageError: if the function cannot be traced at a point of shape (n,), with the reason.
    """
    try:
        with numerics(dtype):
            output = jax.eval_shape(function, jax.ShapeDtypeStruct((n_inputs,), dtype))
    except Exception as error:  # a user's function may raise anything
        raise UsageError(
            f"the network's function fails on one point of shape ({n_inputs},): {reason(error)}"
            + (
                f"; if it has not {counted(n_inputs, 'input')}, network.inputs or network.n_inputs "
                "is to say so"
                if isinstance(error, TypeError | ValueError) and "shape" in str(error)
                else ""
            )
        ) from error
    if not isinstance(output, jax.ShapeDtypeStruct) or output.ndim > 1:
        shape = getattr(output, "shape", type(output).__name__)
        raise UsageError(
            f"the network's function must map one point of shape ({n_inputs},) to one array of "
            f"shape (m,) or (); it returns {shape}"
        )
    if not np.issubdtype(output.dtype, np.floating):
        raise UsageError(
            f"the network's function must return floating-point numbers; it returns {output.dtype}"
        )
    return output.size
