"""Points that fill a box: rows that are made, not read.

Any row can be made from its index alone, so a design of any size needs no memory and is sharded
like a file: the same points whatever the shards.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .scipy_workarounds import next_points, skip_points
from .shard import Rows, Shard

if TYPE_CHECKING:
    from scipy.stats import qmc

Words = np.ndarray | np.uint64
SAMPLERS = ("sobol", "latin_hypercube", "grid")
# The most that SciPy 1.17 can skip ahead with; 2**32 points, 2**-32 apart.
_SOBOL_BITS = 32
SOBOL_ROWS = 2**_SOBOL_BITS


@dataclass(frozen=True)
class DesignSource:
    """Points in a box, one column for each of its sides.

    Attributes:
        ranges: {column: (low, high)}.
        sampler: "sobol" (scrambled, low discrepancy), "latin_hypercube" (each column meets each
            of `rows` equal slices exactly once) or "grid" (every combination of equidistant
            levels, ends included, the last column fastest).
        rows: how many points; for a grid, the product of the levels.
        seed: of the scrambling or the permutations.
        levels: {column: number of levels}, of a grid.
        limit: rows to make, from the start; None makes all.
        dtype: "float32" or "float64", of the columns.
        shard_rows: rows of a shard.
    """

    ranges: Mapping[str, tuple[float, float]]
    sampler: str
    rows: int
    seed: int
    levels: Mapping[str, int]
    limit: int | None
    dtype: str
    shard_rows: int

    @property
    def schema(self) -> pa.Schema:
        """One floating-point column for each side of the box."""
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        return pa.schema([(name, kind) for name in self.ranges])

    def shards(self) -> Iterator[Shard]:
        """Yield runs of `shard_rows` rows."""
        rows = self.rows if self.limit is None else min(self.rows, self.limit)
        for number, first in enumerate(range(0, rows, self.shard_rows)):
            yield Shard(number, None, 0, 0, first, min(self.shard_rows, rows - first))

    def warm_up(self) -> None:
        """Load SciPy, for Sobol points; without them no run takes the time."""
        if self.sampler == "sobol":
            self._sobol(0)

    def read(self, shard: Shard, batch_rows: int) -> Iterator[Rows]:
        """Yield a shard's points, `batch_rows` at a time."""
        sobol = self._sobol(shard.first_row) if self.sampler == "sobol" else None
        for offset in range(0, shard.rows, batch_rows):
            first = shard.first_row + offset
            index = np.arange(first, first + min(batch_rows, shard.rows - offset))
            if sobol is not None:
                unit = next_points(sobol, index.size)
            elif self.sampler == "latin_hypercube":
                unit = latin_hypercube(index, self.rows, len(self.ranges), self.seed)
            else:
                unit = grid(index, [self.levels[name] for name in self.ranges])
            low, high = np.array(list(self.ranges.values()), dtype=np.float64).T
            # Exact at both ends, and finite however far apart they are.
            points = (low * (1 - unit) + high * unit).astype(self.dtype)
            columns = [pa.array(np.ascontiguousarray(column)) for column in points.T]
            yield Rows(pa.table(columns, schema=self.schema), pa.array(index), 0)

    def _sobol(self, skip: int) -> "qmc.Sobol":
        from scipy.stats import qmc  # late: a third of the start of a command

        # Sobol, USSR Comp. Math. 7 (1967); directions of Joe & Kuo 2008, scrambled after Matousek.
        sobol = qmc.Sobol(len(self.ranges), scramble=True, bits=_SOBOL_BITS, rng=self.seed)
        skip_points(sobol, skip)
        return sobol

    def file_name(self, shard: Shard) -> str:
        """Return the name of the design: its points come from no file."""
        return f"design:{self.sampler}"


def grid_rows(levels: Mapping[str, int]) -> int:
    """Return the number of points of a full grid."""
    return prod(levels.values())


def grid(index: np.ndarray, levels: list[int]) -> np.ndarray:
    """Return points (rows, columns) of a full grid in the unit cube, by row index."""
    points = np.empty((index.size, len(levels)))
    for column in reversed(range(len(levels))):
        index, position = np.divmod(index, levels[column])
        points[:, column] = position / max(levels[column] - 1, 1)
    return points


def latin_hypercube(index: np.ndarray, rows: int, columns: int, seed: int) -> np.ndarray:
    """Return points (rows, columns) of a Latin hypercube in the unit cube, by row index.

    Row r lies in slice p(r) of each column, p a permutation of 0..rows-1 of that column's own, at
    a random place in the slice. McKay, Beckman & Conover (1979) draw p as a table; here p is a
    keyed bijection that is computed for each row, so that nothing of size `rows` is ever held
    (SciPy's sampler holds them all).
    """
    points = np.empty((index.size, columns))
    for column in range(columns):
        key = _mix(np.uint64(seed), np.uint64(column))
        slices = _permute(index.astype(np.uint64), rows, key)
        within = (_mix(key, index.astype(np.uint64)) >> np.uint64(11)) * 2.0**-53
        points[:, column] = (slices + within) / rows
    # (slices + within) / rows can round up to 1 in the last slice.
    return np.minimum(points, 1 - 2.0**-53)


def _mix(key: Words, value: Words) -> Words:
    """Return 64 well-mixed bits of a key and a value (finaliser of SplitMix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        z = key ^ ((value + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _permute(index: np.ndarray, size: int, key: Words) -> np.ndarray:
    """Return p(index) for a keyed permutation p of 0..size-1.

    A Feistel network permutes the next even power of two; where it leaves the range, it is
    applied again until it is back (cycle walking: Black & Rogaway 2002). At most a few rounds,
    since the power is less than 4 times the size.
    """
    half = max((int(size - 1).bit_length() + 1) // 2, 1)
    mask = np.uint64((1 << half) - 1)
    shift = np.uint64(half)

    def feistel(value: np.ndarray) -> np.ndarray:
        left, right = value >> shift, value & mask
        for number in range(6):
            turn = _mix(_mix(key, np.uint64(number)), right) & mask
            left, right = right, left ^ turn
        return (left << shift) | right

    permuted = feistel(index)
    outside = permuted >= size
    while outside.any():
        permuted[outside] = feistel(permuted[outside])
        outside = permuted >= size
    return permuted
