"""Which rows have the highest scores, of each of several outputs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_AT_ONCE = 1 << 17  # numbers, that stay in a core's cache
_PARTS = 64  # of the rows, whose highest scores give a first bound


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


def highest_scores(
    values: np.ndarray,
    size: Callable[[np.ndarray], np.ndarray],
    scale: np.ndarray,
    largest: np.ndarray,
    floor: np.ndarray,
    keep: int,
) -> Highest:
    """Return of each output the rows with the highest scores, those before others at a tie.

    A row's score is the highest size, times its scale, of the output's numbers.

    Args:
        values: (m, k, rows), the numbers of each output.
        size: of a number: `np.abs`, `np.positive` or `np.negative`.
        scale: (k,), of the same dtype, or of float64.
        largest: (m, k), a bound that no size exceeds.
        floor: (m,), who is below need not be looked at; -inf where nothing is known.
        keep: how many rows of each output.
    """
    m, _, rows = values.shape
    floor = floor.astype(scale.dtype)
    bounds = largest * scale
    if rows >= _PARTS >= keep and np.isneginf(floor).any():
        # Of some direction, so many parts of the rows have a score that high, each.
        direction = np.argmax(bounds, axis=1)
        some = values[np.arange(m), direction, : rows - rows % _PARTS].reshape(m, _PARTS, -1)
        tops = size(some).max(axis=2) * scale[direction, None]
        floor = np.maximum(floor, np.partition(tops, -keep, axis=1)[:, -keep])
    # As a rule, once there are many rows, none of most numbers.
    outputs, directions = np.nonzero(bounds >= floor[:, None])
    step = max(_AT_ONCE // rows, 1)
    parts = [np.zeros(0, np.int64)]
    for first in range(0, outputs.size, step):
        output, direction = outputs[first : first + step], directions[first : first + step]
        sizes = size(values[output, direction]) * scale[direction, None]
        entry, row = np.divmod(np.flatnonzero(sizes >= floor[output, None]), rows)
        parts.append(output[entry] * rows + row)
    output, row = np.divmod(np.unique(np.concatenate(parts)), rows)
    sizes = size(values[output, :, row]) * scale
    direction = np.argmax(sizes, axis=1)
    score = sizes[np.arange(row.size), direction]
    order = np.lexsort((row, -score, output))
    output, row, direction, score = (each[order] for each in (output, row, direction, score))
    rank = np.arange(row.size) - np.searchsorted(output, output)
    kept = rank < keep
    return Highest(*(each[kept] for each in (output, rank, row, direction, score)))
