"""The rows of one call, shared among the cores of this machine."""

import functools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ._jitted import Jitted, Program, within_transformation
from ._memory import array_bytes, lacking

# A core that is done takes the next part: with a few parts for each, none waits long for another.
_PARTS_OF_CORE = 4
# The fewest multiply-adds of a part, about a millisecond: to hand one over takes a tenth of that.
_LEAST_WORK = 10_000_000
# A part is a loop over tiles, too.
_LEAST_TILES = 2
# XLA takes memory of others as an array's own where it begins at a multiple of so many bytes.
_ALIGNMENT = 64


def cores() -> int:
    """Return how many cores this process may use, or JAX's threads if these are fewer."""
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    allowed = os.environ.get("PJRT_NPROC", "")
    return min(usable, int(allowed)) if allowed.isdecimal() else usable


class SharedRows:
    """A jitted function of arrays with a common first axis, whose rows are shared among cores.

    XLA goes through a loop over tiles one by one, and shares what is in a tile, of which little is
    worth it. Here each core takes whole tiles, in calls of its own, so that a row has the same bits
    however many cores there are.

    Args:
        jitted: the function, which computes each tile of rows by itself.
        tile: the rows of a tile.
        threads: the most that compute at a time.
        row_work: counts the multiply-adds for a row, about.
    """

    def __init__(self, jitted: Jitted, tile: int, threads: int, row_work: Callable[[], int]):
        self._jitted, self._tile, self._threads = jitted, tile, threads
        self._row_work = functools.cache(row_work)

    def __call__(self, *arrays: jax.Array) -> Any:
        """Call the function; where rows are shared, return when all are computed.

        Raises:
            MemoryError: as `Jitted`.
        """
        rows = arrays[0].shape[0]
        size = self._part_rows(rows)
        if not size or not _on_one_plain_cpu() or within_transformation():
            return self._jitted(*arrays)
        points = [np.asarray(array) for array in arrays]  # on a CPU these are no copies
        begins = range(0, rows, size)
        program = self._jitted.program([_part(each, 0, size) for each in points])
        held = program.needed * min(self._threads, len(begins))
        fits = not lacking(held + array_bytes(program.results) * len(begins))
        if program.in_turn or not program.pure or not fits:
            return self._jitted(*arrays)
        # Here, not in threads of their own: there JAX makes float32 of float64.
        parts = [[jax.device_put(_part(each, begin, size)) for each in points] for begin in begins]
        results = jax.tree.map(
            lambda part: _empty((rows, *part.shape[1:]), part.dtype), program.results
        )
        compute = functools.partial(_compute, program, jax.tree.leaves(results))
        try:
            computed = _pool(os.getpid(), self._threads).map(compute, begins, parts)
        except RuntimeError:  # Python is ending, and takes no more work
            return self._jitted(*arrays)
        for _ in computed:
            pass
        place = arrays[0].sharding if arrays[0].committed else None
        return jax.device_put(results, place, may_alias=True)

    def _part_rows(self, rows: int) -> int:
        """Return the rows of a part; 0 if so many are not shared."""
        tiles = -(-rows // self._tile)
        if tiles < 2 * _LEAST_TILES:
            return 0
        most = min(tiles // _LEAST_TILES, rows * self._row_work() // _LEAST_WORK)
        parts = min(self._threads * _PARTS_OF_CORE, most)
        if parts < 2:
            return 0
        return -(-tiles // parts) * self._tile


def _on_one_plain_cpu() -> bool:
    """Tell whether JAX computes on one CPU, and looks at nothing that belongs to a thread."""
    config: Any = jax.config
    watched = config.jax_disable_jit or config.jax_debug_nans or config.jax_debug_infs
    return not watched and jax.default_backend() == "cpu" and jax.device_count() == 1


def _compute(
    program: Program, results: Sequence[np.ndarray], begin: int, points: Sequence[jax.Array]
) -> None:
    """Compute a part, and write it to where it belongs: copying is work for all cores, too."""
    for whole, part in zip(results, jax.tree.leaves(program.compiled(*points)), strict=True):
        place = whole[begin : begin + len(part)]
        place[...] = np.asarray(part)[: len(place)]


def _part(array: np.ndarray, begin: int, size: int) -> np.ndarray:
    """Return so many rows; the last part is filled up with its last row."""
    rows = array[begin : begin + size]
    missing = size - len(rows)
    return np.pad(rows, ((0, missing), (0, 0)), mode="edge") if missing else rows


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array that JAX takes without a copy."""
    count = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(count + _ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    return memory[begin : begin + count].view(dtype).reshape(shape)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that compute, in this process: a fork has the pool without its threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="hyperdiag")
