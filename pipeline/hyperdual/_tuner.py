"""Which method and tile are fastest: a few candidates timed once, and the outcome kept.

Which accumulation is cheapest follows from k and m only roughly (1 + 2k passes against 1 + k + m),
and the best tile from the widths and the caches; so both are measured, on the device at hand.
"""

import hashlib
import json
import logging
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._jaxpr import custom_rule_names, ragged, widest
from ._methods import METHODS

log = logging.getLogger("hyperdiag")

# J of a tile should stay in a core's second-level cache, or fill a GPU.
_TILE_BYTES = {"cpu": 1 << 19, "gpu": 1 << 27}
_TILES = {"cpu": (1, 2048), "gpu": (64, 65536)}
# A timed call has rows for so many bytes of J, so that the call itself does not count, but not more
# than so many.
_TIMED_BYTES = 1 << 24
_TIMED_ROWS = 1 << 16
# A timing shorter than this says little.
_LEAST_SECONDS = 0.02
_REPEATS = 3
# The widest vector registers of CPUs (AVX-512).
_REGISTER_BYTES = 64
# Below this many bytes of J for a row the plain method's lack of structure costs next to nothing.
_SMALL_ROW_BYTES = 2048


class Choice(NamedTuple):
    """What a run freezes: the method's name and the rows of a tile (None: no tiling)."""

    method: str
    tile: int | None


class Shape(NamedTuple):
    """What the tuner needs to know of a program.

    Attributes:
        directions: k.
        outputs: m.
        row_bytes: of the largest intermediate's J for one row, stored densely.
        key: digest of the program without its constants' values, of dtype, versions, device and the
            methods that there are.
        own_rules: whether functions with derivative rules of their own are in it.
        ragged: whether it is mostly dense layers whose widths fill no vector registers of a CPU.
    """

    directions: int
    outputs: int
    row_bytes: int
    key: str
    own_rules: bool = False
    ragged: bool = False


def shape_of(
    fn: Callable, n_inputs: int, directions: int, dtype: str, device_kind: str | None
) -> Shape:
    """Trace `fn` at one point and note its shape."""
    traced = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((n_inputs,), dtype))
    kind = device_kind or jax.devices()[0].device_kind
    # Addresses of functions in the text differ from process to process.
    program = re.sub(r"0x[0-9a-f]+", "", str(traced.jaxpr))
    parts = [program, str(directions), dtype, jax.__version__, kind, _threads(), *METHODS]
    return Shape(
        directions,
        math.prod(traced.out_avals[0].shape),
        directions * widest(traced) * np.dtype(dtype).itemsize,
        hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24],
        bool(custom_rule_names(traced)),
        kind == "cpu" and ragged(traced, _REGISTER_BYTES // np.dtype(dtype).itemsize),
    )


def _threads() -> str:
    return os.environ.get("PJRT_NPROC", str(os.cpu_count()))


def default_tile(shape: Shape) -> int:
    """Return the tile from which the search starts."""
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    least, most = _TILES[kind]
    wanted = max(_TILE_BYTES[kind] / max(shape.row_bytes, 1), 1)
    return min(max(1 << round(math.log2(wanted)), least), most)


def tune(
    build: Callable[[Choice], Callable[[np.ndarray], Any]],
    shape: Shape,
    n_inputs: int,
    method: str | None,
    tile: int | None,
    seconds: float | None,
) -> Choice | None:
    """Return the fastest choice, from the cache or by timing.

    Args:
        build: makes the function of points (rows, n) for a choice.
        shape: of the program.
        n_inputs: n.
        method: None tries the sensible ones.
        tile: None tries a few.
        seconds: after which no further candidate is compiled, as far as can be foreseen; None
            times nothing, and returns None if the outcome is not known.

    Raises:
        Exception: that of the first candidate, if none works.
    """
    key = f"{shape.key}-{method}-{tile}"
    known = _recall(key)
    if known is not None or seconds is None:
        return known
    race = _Race(build, n_inputs, shape.row_bytes, time.monotonic() + seconds)
    start = tile or default_tile(shape)
    methods = [method] if method is not None else _sensible(shape)
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        # Inside somebody's jit nothing runs, so nothing can be timed.
        return Choice(methods[0], start)
    race.run(Choice(methods[0], start))
    for other in methods[1:]:
        race.run(Choice(other, start))
    if not race.seconds:
        assert race.failure is not None
        raise race.failure
    if tile is None:
        for factor in (4, 0.25):
            size = race.best.tile
            while (size := int((size or 1) * factor)) >= 1 and size <= _TILES["gpu"][1]:
                if not race.run(Choice(race.best.method, size)):
                    break
    _remember(key, race.best, race.seconds)
    return race.best


def _sensible(shape: Shape) -> list[str]:
    """Return the methods worth timing, the likeliest first.

    Passes: 1 + 2k for forward accumulation, 1 + k + m for adjoint. Loops can turn that round: what
    adjoint accumulation keeps of each turn for the way back may not fit the cache.
    """
    k, m = shape.directions, shape.outputs
    methods = ["hyperdual"] if m > k else ["hyperdual_adjoint", "hyperdual"]
    if k < m <= 2 * k:
        methods.append("hyperdual_adjoint")
    if shape.ragged:
        # By 1.04 to 2.4 times faster than `hyperdual` then, and slower by up to 1.3 otherwise.
        return ["hyperdual_columns", *methods]
    # What JAX makes of a rule of one's own may differ (see `derivatives`): no matter for timing.
    if shape.row_bytes <= _SMALL_ROW_BYTES and not shape.own_rules:
        methods.append("double_forward")
    return methods


class _Race:
    """Times candidates until the deadline; `best` is the fastest of `seconds` (for a row)."""

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
        return min(self.seconds, key=lambda choice: self.seconds[choice])

    def run(self, choice: Choice) -> bool:
        """Time a candidate; tell whether it is the best so far."""
        if choice in self.seconds:
            return False
        began = time.monotonic()
        if self.seconds and began + self._longest > self._deadline:
            return False
        try:
            self.seconds[choice] = self._time(choice)
        except Exception as error:  # another candidate may do
            self.failure = self.failure or error
            log.debug("tuning: %s: %s", choice, error)
            return False
        self._longest = max(self._longest, time.monotonic() - began)
        return self.best == choice

    def _time(self, choice: Choice) -> float:
        """Return seconds for a row; compilation is not counted."""
        bundle = self._build(choice)
        tile = choice.tile or 1
        turns = max(4, min(_TIMED_ROWS, _TIMED_BYTES // self._row_bytes) // tile)
        rows = turns * tile
        points = np.random.default_rng(0).standard_normal((rows, self._n_inputs))
        jax.block_until_ready(bundle(points))
        fastest, spent, turns = math.inf, 0.0, 0
        while turns < _REPEATS or spent < _LEAST_SECONDS:
            began = time.perf_counter()
            jax.block_until_ready(bundle(points))
            took = time.perf_counter() - began
            fastest, spent, turns = min(fastest, took), spent + took, turns + 1
            if spent > 1:  # one call is long enough to be sure
                break
        return fastest / rows


_outcomes: dict[str, Choice] = {}


def _folder() -> Path | None:
    """Return where outcomes are kept; None if HYPERDIAG_CACHE is set to nothing."""
    given = os.environ.get("HYPERDIAG_CACHE")
    if given is not None:
        return Path(given) / "tuning" if given else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hyperdiag" / "tuning"


def _recall(key: str) -> Choice | None:
    if key in _outcomes:
        return _outcomes[key]
    folder = _folder()
    if folder is None:
        return None
    try:
        kept = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        choice = Choice(kept["method"], kept["tile"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = choice.method in METHODS and isinstance(choice.tile, int) and choice.tile > 0
    return choice if fits else None


def _remember(key: str, choice: Choice, seconds: dict[Choice, float]) -> None:
    _outcomes[key] = choice
    folder = _folder()
    if folder is None:
        return
    content = {
        "method": choice.method,
        "tile": choice.tile,
        "rows_per_s": {f"{c.method}/{c.tile}": round(1 / s, 1) for c, s in seconds.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: several processes may tune the same program.
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        Path(file.name).replace(folder / f"{key}.json")
    except OSError as error:
        log.debug("tuning: the outcome is not kept: %s", error)
