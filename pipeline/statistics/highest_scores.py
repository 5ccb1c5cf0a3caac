"""Which rows have the highest scores, of each of several outputs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_AT_ONCE = 1 << 17  # numbers, that stay in a core's cache
_PARTS = 64  # of the rows, whose highest scores give a first bound
_MANY = 64  # times as many entries as are looked for: a higher floor is found first
_TIES = 4  # times as many at the floor as are looked for: the others are left out


class Highest(NamedTuple):
    """The rows with the highest scores of each output.

    Attributes:
        output: int64 (entries,), which output's row it is.
        rank: int64 (entries,), from 0 on, within that output.
        row: int64 (entries,), the row.
        direction: int64 (entries,), of which number the score is.
        score: (entries,), the score.
    """

    output: np.ndarray
    rank: np.ndarray
    row: np.ndarray
    direction: np.ndarray
    score: np.ndarray


class Scores(NamedTuple):
    """Scores of rows: the highest size, times its scale, of each output's numbers.

    Attributes:
        values: (m, k, rows), the numbers of each output.
        size: of a number: `np.abs`, `np.positive` or `np.negative`.
        scale: (k,), of the same dtype, or of float64.
        largest: (m, k), a bound that no size exceeds.
    """

    values: np.ndarray
    size: Callable[[np.ndarray], np.ndarray]
    scale: np.ndarray
    largest: np.ndarray

    def highest(self, floor: np.ndarray, keep: int, ties: bool) -> Highest:
        """Return of each output the rows with the highest scores, those before others at a tie.

        Args:
            floor: (m,), who is below need not be looked at; -inf where nothing is known.
            keep: how many rows of each output.
            ties: whether who is at the floor must be looked at.
        """
        m, _, rows = self.values.shape
        floor = floor.astype(self.scale.dtype)
        bounds = self.largest * self.scale
        if rows >= _PARTS >= keep and np.isneginf(floor).any():
            # Of some direction, so many parts of the rows have a score that high, each.
            direction = np.argmax(bounds, axis=1)
            sizes = self.size(self.values[np.arange(m), direction]) * self.scale[direction, None]
            floor, ties = np.maximum(floor, _bound(sizes, keep)), True
        keys = self._candidates(bounds, floor, keep, ties, most=_MANY * keep * m)
        if keys is None:
            # Of rows that are in order, say, each is above all before.
            sizes = np.full((m, rows), -np.inf, self.scale.dtype)
            for direction, scale in enumerate(self.scale):
                np.maximum(sizes, self.size(self.values[:, direction]) * scale, out=sizes)
            best = np.partition(sizes, -keep, axis=1)[:, -keep] if rows > keep else floor
            most = self.values.size
            keys = self._candidates(bounds, np.maximum(floor, best), keep, True, most)
        assert keys is not None
        return self._ranked(keys, keep)

    def _candidates(
        self, bounds: np.ndarray, floor: np.ndarray, keep: int, ties: bool, most: int
    ) -> np.ndarray | None:
        """Return entries, output times rows plus row, that are above a floor, or the first at it.

        None if there are more than `most`.
        """
        rows = self.values.shape[2]
        compare = np.greater_equal if ties else np.greater
        # As a rule, once there are many rows, none of most numbers.
        outputs, directions = np.nonzero(compare(bounds, floor[:, None]))
        step = max(_AT_ONCE // rows, 1)
        parts, count = [np.zeros(0, np.int64)], 0
        for first in range(0, outputs.size, step):
            output, direction = outputs[first : first + step], directions[first : first + step]
            sizes = self.size(self.values[output, direction]) * self.scale[direction, None]
            chosen = compare(sizes, floor[output, None])
            if ties and np.count_nonzero(chosen) > _TIES * keep * output.size:
                at_floor = sizes == floor[output, None]
                chosen &= ~at_floor | (np.cumsum(at_floor, axis=1) <= keep)
            entry, row = np.divmod(np.flatnonzero(chosen), rows)
            parts.append(output[entry] * rows + row)
            count += row.size
            if count > most:
                return None
        return np.unique(np.concatenate(parts))

    def _ranked(self, keys: np.ndarray, keep: int) -> Highest:
        """Return the first of some entries."""
        output, row = np.divmod(keys, self.values.shape[2])
        sizes = self.size(self.values[output, :, row]) * self.scale
        direction = np.argmax(sizes, axis=1)
        score = sizes[np.arange(row.size), direction]
        order = np.lexsort((row, -score, output))
        output, row, direction, score = (each[order] for each in (output, row, direction, score))
        rank = np.arange(row.size) - np.searchsorted(output, output)
        kept = rank < keep
        return Highest(*(each[kept] for each in (output, rank, row, direction, score)))


def _bound(sizes: np.ndarray, keep: int) -> np.ndarray:
    """Return for each of (m, rows) a size that so many rows have, at least."""
    parts = sizes[:, : sizes.shape[1] - sizes.shape[1] % _PARTS].reshape(len(sizes), _PARTS, -1)
    return np.partition(parts.max(axis=2), -keep, axis=1)[:, -keep]
