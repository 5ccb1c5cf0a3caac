"""Which method and tile are fastest: a few candidates timed once, and the outcome kept.

Which accumulation is cheapest follows from k and m only roughly (1 + 2k passes against 1 + k + m),
and the best tile from the widths and the caches; so both are measured, on the device at hand.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._choice import Choice, choice_key, keep_choice, kept_choice
from ._jaxpr import ProgramShape
from ._methods import METHODS

log = logging.getLogger("hyperdiag")

# J of a tile should stay in a core's second-level cache, or fill a GPU.
_TILE_BYTES = {"cpu": 1 << 19, "gpu": 1 << 27}
# The fewest and the most rows of a tile.
_TILE_ROWS = {"cpu": (1, 2048), "gpu": (64, 65536)}
# A timed call has rows for so many bytes of J, so that the call itself does not count, but not more
# than so many.
_TIMED_BYTES = 1 << 24
_TIMED_ROWS = 1 << 16
# The least time (in seconds) that repeated calls take together: less says little.
_LEAST_SECONDS = 0.02
# After so long (in seconds) the calls so far are enough.
_ENOUGH_SECONDS = 1.0
_REPEATS = 3


def default_tile(shape: ProgramShape) -> int:
    """Return the tile from which the search starts."""
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    least, most = _TILE_ROWS[kind]
    fitting = max(_TILE_BYTES[kind] / max(shape.row_bytes, 1), 1)
    return min(max(1 << round(math.log2(fitting)), least), most)


def tune(
    build: Callable[[Choice], Callable[[np.ndarray], Any]],
    shape: ProgramShape,
    n_inputs: int,
    method: str | None,
    tile: int | None,
    seconds: float | None,
) -> Choice | None:
    """Return the fastest choice, as kept from before or by timing.

    Args:
        build: makes the function of points (rows, n) for a choice.
        shape: of the program.
        n_inputs: n.
        method: None tries the candidates.
        tile: None tries a few.
        seconds: after which no further candidate is compiled, as far as can be foreseen; None
            times nothing, and returns None if the outcome is not known.

    Raises:
        Exception: that of the first candidate, if none works.
    """
    key = choice_key(shape, method, tile)
    kept = kept_choice(key)
    if kept is not None or seconds is None:
        return kept
    timings = _Timings(build, n_inputs, shape.row_bytes, time.monotonic() + seconds)
    first_tile = tile or default_tile(shape)
    methods = [method] if method is not None else candidates(shape)
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        # Inside somebody's jit nothing runs, so nothing can be timed.
        return Choice(methods[0], first_tile)
    for candidate in methods:
        timings.add(Choice(candidate, first_tile))
    if not timings.seconds:
        assert timings.failure is not None
        raise timings.failure
    if tile is None:
        for factor in (4, 0.25):
            size = timings.best.tile
            while (size := int((size or 1) * factor)) >= 1 and size <= _TILE_ROWS["gpu"][1]:
                if not timings.add(Choice(timings.best.method, size)):
                    break
    keep_choice(key, timings.best, timings.seconds)
    return timings.best


def candidates(shape: ProgramShape) -> list[str]:
    """Return the methods worth timing, in their turns: the likeliest first."""
    turns = {name: method.turn(shape) for name, method in METHODS.items()}
    timed = {name: turn for name, turn in turns.items() if turn is not None}
    return sorted(timed, key=lambda name: timed[name])


class _Timings:
    """Times choices until the deadline.

    Attributes:
        seconds: of each choice, for one row.
        failure: of the first choice that did not work.
    """

    def __init__(
        self,
        build: Callable[[Choice], Callable[[np.ndarray], Any]],
        n_inputs: int,
        row_bytes: int,
        deadline: float,
    ):
        self.seconds: dict[Choice, float] = {}
        self._build, self._n_inputs, self._deadline = build, n_inputs, deadline
        self._row_bytes = max(row_bytes, 1)
        self._longest = 0.0
        self.failure: Exception | None = None

    @property
    def best(self) -> Choice:
        """The fastest so far."""
        return min(self.seconds, key=lambda choice: self.seconds[choice])

    def add(self, choice: Choice) -> bool:
        """Time a choice; tell whether it is the best so far."""
        if choice in self.seconds:
            return False
        began = time.monotonic()
        if self.seconds and began + self._longest > self._deadline:
            return False
        try:
            self.seconds[choice] = self._time(choice)
        except Exception as error:  # another choice may do
            self.failure = self.failure or error
            log.debug("tuning: %s: %s", choice, error)
            return False
        self._longest = max(self._longest, time.monotonic() - began)
        return self.best == choice

    def _time(self, choice: Choice) -> float:
        """Return seconds for a row; compilation is not counted."""
        bundle = self._build(choice)
        tile = choice.tile or 1
        tiles = max(4, min(_TIMED_ROWS, _TIMED_BYTES // self._row_bytes) // tile)
        rows = tiles * tile
        points = np.random.default_rng(0).standard_normal((rows, self._n_inputs))
        jax.block_until_ready(bundle(points))
        fastest, spent, calls = math.inf, 0.0, 0
        while calls < _REPEATS or spent < _LEAST_SECONDS:
            began = time.perf_counter()
            jax.block_until_ready(bundle(points))
            took = time.perf_counter() - began
            fastest, spent, calls = min(fastest, took), spent + took, calls + 1
            if spent > _ENOUGH_SECONDS:
                break
        return fastest / rows
