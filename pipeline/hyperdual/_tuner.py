"""Which method and tile are fastest: a few candidates timed once, and the outcome kept.

Which accumulation is cheapest follows from k and m only roughly (1 + 2k passes against 1 + k + m),
and the best tile from the widths and the caches; so both are measured, on the device at hand.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._choice import Choice, choice_key, keep_choice, kept_choice
from ._device import Device, this_device
from ._jaxpr import ProgramShape
from ._methods import METHODS

log = logging.getLogger("hyperdiag")

# The most that J of a tile is wished to be where weights are as large.
_MOST_WEIGHT_BYTES = 1 << 22
# A timed call has not more rows.
_TIMED_ROWS = 1 << 16
# The least time (in seconds) that repeated calls take together: less says little.
_LEAST_SECONDS = 0.02
# A call of fewer seconds is mostly what any call costs.
_SHORT_CALL_SECONDS = 2e-3
# After so long (in seconds) the calls so far are enough.
_ENOUGH_SECONDS = 1.0
_REPEATS = 3
# Methods that take at most so many times as long as the fastest, in the first tile, are timed in
# others, too: so many at most. Which tile is best for one is not for another.
_RIVALS_WITHIN, _RIVALS = 1.6, 2
# Choices that take at most so many times as long as the fastest are timed again, in turn, so often.
_CLOSE, _TURNS = 1.25, 4
# Of choices that take at most so many times as long as the fastest, that of the smallest tile is
# taken: in a call for few rows, less of a tile is filled up.
_EQUAL = 1.02
# What a tile of several rows may have in a program that was not timed with it.
_UNTIMED_TILE_BYTES = 1 << 26
# Of a tile in programs that may hang on many.
_FEW_ROWS = 16
# Rows smaller than this need no tile to fit.
_LARGE_ROW_BYTES = 1 << 22
# How long (in seconds) compiling, and the first call, may take before XLA counts as hanging, while
# nothing else is known to work; afterwards, and when it is also so many times the longest so far.
_COMPILE_PATIENCE, _CALL_PATIENCE = 240.0, 30.0
_PATIENCE, _TIMES_LONGEST = 20.0, 10


def default_tile(shape: ProgramShape, device: Device | None = None) -> int:
    """Return the tile from which the search starts, on a device; None: on that of JAX here."""
    device = device or this_device()
    tiles = device.tiles
    least, most = tiles.start_rows
    # Weights that do not fit the cache are read anew for each tile, which should be worth it.
    wished = max(tiles.start_bytes, min(shape.weight_bytes, _MOST_WEIGHT_BYTES))
    fitting = max(wished / max(shape.row_bytes, 1), 1)
    return min(max(1 << round(math.log2(fitting)), least), most, most_rows(shape, device))


def most_rows(shape: ProgramShape, device: Device) -> int:
    """Return the most rows of a tile, a power of two: one, or as many as stay within the limit."""
    tiles = device.tiles
    rows = max(tiles.most_bytes // max(shape.row_bytes, 1), 1)
    if shape.few_rows:
        rows = min(rows, _FEW_ROWS)
    return min(1 << rows.bit_length() - 1, tiles.most_rows)


def timed_rows(row_bytes: int, tile: int | None, device: Device | None = None) -> int:
    """Return how many rows a timed call has: whole tiles.

    Args:
        row_bytes: that a row counts for.
        tile: rows of a tile; None: there is none.
        device: that is timed; None: that of JAX here.
    """
    timed_bytes = (device or this_device()).tiles.timed_bytes
    rows = min(_TIMED_ROWS, timed_bytes // max(row_bytes, 1))
    return max(4, rows // (tile or 1)) * (tile or 1)


def fitting_tile(
    tile: int | None, row_bytes: int, shape: ProgramShape, quantities: Sequence[str]
) -> int | None:
    """Return a tile cut to what stays within a fixed amount of memory.

    It depends on the program alone, not on what is free, so that the bits of a row do not, either.

    Args:
        tile: that is wished for; None: the whole batch at once.
        row_bytes: that a row holds for value, J and D.
        shape: of the program.
        quantities: that are asked for; the Hessian holds J once more for each output, or input.
    """
    if "hessian" in quantities:
        row_bytes *= min(shape.outputs, shape.directions)
        row_bytes = max(row_bytes, shape.outputs * shape.directions**2 * 4)
    elif tile is not None:
        return tile  # it was timed
    if row_bytes < _LARGE_ROW_BYTES:
        return tile
    most = 1 << max(_UNTIMED_TILE_BYTES // row_bytes, 1).bit_length() - 1
    return most if tile is None else min(tile, most)


def tune(
    build: Callable[[Choice], Callable[[np.ndarray], Any]],
    shape: ProgramShape,
    n_inputs: int,
    method: str | None,
    tile: int | None,
    seconds: float | None,
    rows: int | None = None,
    device: Device | None = None,
) -> Choice | None:
    """Return the fastest choice, as kept from before or by timing.

    Args:
        build: makes the `Bundle` for a choice.
        shape: of the program.
        n_inputs: n.
        method: None tries the candidates.
        tile: None tries a few.
        seconds: after which no further candidate is compiled, as far as can be foreseen; None
            times nothing, and returns None if the outcome is not known.
        rows: that there are, about: what a choice costs to compile counts against them, and no
            further one is tried where that costs more than all rows by the fastest so far. None:
            so many that compiling does not count.
        device: that the tiles are for; None: that of JAX here.

    Raises:
        Exception: that of the first candidate, if none works; a TimeoutError if XLA hangs.
    """
    key = choice_key(shape, method, tile)
    # What is best for few rows is not for many. It is looked for first, so that what is timed for
    # many meanwhile changes no plan of few.
    key_for_rows = key if rows is None else f"{key}-{rows.bit_length()}"
    kept = kept_choice(key_for_rows) or kept_choice(key)
    if kept is not None or seconds is None:
        return kept
    if rows is not None:  # what the first program costs besides is not to count against it
        jax.block_until_ready(jax.jit(jnp.negative)(jnp.zeros(1)))
    device = device or this_device()
    timings = _Timings(build, n_inputs, shape, device, time.monotonic() + seconds, rows)
    first_tile = tile or default_tile(shape, device)
    most = most_rows(shape, device)
    methods = [method] if method is not None else candidates(shape)
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        # Inside somebody's jit nothing runs, so nothing can be timed.
        return Choice(methods[0], first_tile)
    for candidate in methods:
        timings.add(Choice(candidate, first_tile))
        if timings.hung:
            break
    if not timings.seconds:
        assert timings.failure is not None
        raise timings.failure
    for rival in timings.rivals() if tile is None else []:
        for factor in (4, 0.25):
            size = first_tile
            while not timings.hung and 1 <= (size := int(size * factor)) <= most:
                if not timings.add(Choice(rival, size)):
                    break
    timings.settle()
    choice = timings.smallest_of_the_best()
    keep_choice(key_for_rows if timings.rows_decide else key, choice, timings.seconds)
    return choice


def candidates(shape: ProgramShape) -> list[str]:
    """Return the methods worth timing, in their turns: the likeliest first."""
    turns = {name: method.turn(shape) for name, method in METHODS.items()}
    timed = {name: turn for name, turn in turns.items() if turn is not None}
    return sorted(timed, key=lambda name: timed[name])


class _Timings:
    """Times choices until the deadline.

    Attributes:
        seconds: of each choice, for one row.
        rows_decide: whether with more rows the outcome may be another.
        failure: of the first choice that did not work.
        hung: whether XLA did not end in time. Its threads are lost then, and nothing more is timed.
    """

    def __init__(
        self,
        build: Callable[[Choice], Any],
        n_inputs: int,
        shape: ProgramShape,
        device: Device,
        deadline: float,
        rows: int | None = None,
    ):
        self.seconds: dict[Choice, float] = {}
        self._rows, self._compile_seconds = rows, dict[Choice, float]()
        self.rows_decide = False
        self._build, self._n_inputs, self._deadline = build, n_inputs, deadline
        self._row_bytes, self._result_bytes = shape.row_bytes, shape.result_bytes
        self._device = device
        self._longest = 0.0
        self.failure: Exception | None = None
        self.hung = False
        self._calls: dict[Choice, tuple[Callable[[np.ndarray], Any], np.ndarray]] = {}

    @property
    def best(self) -> Choice:
        """The fastest so far, for all rows that there are."""
        return min(self.seconds, key=self._cost)

    def rivals(self) -> list[str]:
        """Return the fastest methods, each timed in the first tile, the fastest first."""
        most = _RIVALS_WITHIN * self._cost(self.best)
        close = [choice for choice in self.seconds if self._cost(choice) <= most]
        return [choice.method for choice in sorted(close, key=self._cost)[:_RIVALS]]

    def smallest_of_the_best(self) -> Choice:
        """Return that of the smallest tile, of those by its method that are as good as the best."""
        best = self.best
        equal = [
            choice
            for choice in self.seconds
            if choice.method == best.method and self._cost(choice) <= _EQUAL * self._cost(best)
        ]
        return min(equal, key=lambda choice: choice.tile or math.inf)

    def _cost(self, choice: Choice) -> float:
        """Return seconds: for a row where there are very many, else for compiling and all rows."""
        if self._rows is None:
            return self.seconds[choice]
        return self._compile_seconds[choice] + self._rows * self.seconds[choice]

    def add(self, choice: Choice) -> bool:
        """Time a choice; tell whether it is the best of its method so far."""
        if choice in self.seconds:
            return False
        began = time.monotonic()
        if self.seconds and self._rows is not None:
            most_saved = self._rows * self.seconds[self.best]
            self.rows_decide |= most_saved < self._longest
            if most_saved < self._longest:
                return False
        if self.seconds and began + self._longest > self._deadline:
            return False
        try:
            self.seconds[choice] = self._time(choice)
            first = len(self.seconds) == 1 and self._rows is None
            if first and time.monotonic() < self._deadline and self._take_more_rows(choice):
                began = time.monotonic()  # for what the others will take, once is enough
                self.seconds[choice] = self._time(choice)
        except Exception as error:  # another choice may do
            self.hung |= isinstance(error, TimeoutError)
            self.failure = self.failure or error
            log.debug("tuning: %s: %s", choice, error)
            return False
        self._longest = max(self._longest, time.monotonic() - began)
        fastest = min(self.seconds, key=lambda choice: self.seconds[choice])
        self.rows_decide |= self.best != fastest
        same = [other for other in self.seconds if other.method == choice.method]
        return min(same, key=self._cost) == choice

    def _take_more_rows(self, choice: Choice) -> bool:
        """Tell whether calls were short, and shall have more rows from now on.

        By its largest intermediate a network may seem large that is not: where a hundred inputs
        become three numbers, say.
        """
        enough_rows = _SHORT_CALL_SECONDS / self.seconds[choice]
        fewer = max(int(self._device.tiles.timed_bytes / enough_rows), self._result_bytes)
        more = fewer < self._row_bytes
        self._row_bytes = min(fewer, self._row_bytes)
        return more

    def settle(self) -> None:
        """Time the fastest again, in turn: what the machine did meanwhile is not to decide."""
        most = _CLOSE * self.seconds[self.best]
        close = [choice for choice, seconds in self.seconds.items() if seconds < most]
        for choice in close * _TURNS if len(close) > 1 and not self.hung else []:
            if time.monotonic() > self._deadline:
                return
            call, points = self._calls[choice]
            self.seconds[choice] = min(self.seconds[choice], seconds_of(call, points) / len(points))

    def _time(self, choice: Choice) -> float:
        """Return seconds for a row; compilation is not counted."""
        bundle = self._build(choice)
        patience = (_COMPILE_PATIENCE, _CALL_PATIENCE)
        if self.seconds:
            patience = (max(_PATIENCE, _TIMES_LONGEST * self._longest),) * 2
        rows = timed_rows(self._row_bytes, choice.tile, self._device)
        points = np.random.default_rng(0).standard_normal((rows, self._n_inputs), np.float32)
        began = time.monotonic()
        bundle.warm_up(points, *patience)
        first = time.monotonic() - began
        self._calls[choice] = bundle, points
        fastest, spent, calls = math.inf, 0.0, 0
        while calls < _REPEATS or spent < _LEAST_SECONDS:
            took = seconds_of(bundle, points)
            fastest, spent, calls = min(fastest, took), spent + took, calls + 1
            if spent > _ENOUGH_SECONDS:
                break
        self._compile_seconds[choice] = max(0.0, first - fastest)
        return fastest / rows


def seconds_of(call: Callable[[np.ndarray], Any], points: np.ndarray) -> float:
    """Return how long a call takes, until its results are there."""
    began = time.perf_counter()
    jax.block_until_ready(call(points))
    return time.perf_counter() - began
