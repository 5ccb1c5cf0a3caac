"""The most extreme rows: where an output, its slopes or its curvatures are the largest."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .numbers import INPUT, RowNumbers

# Kinds of lists, one of each for every output: a quantity, and the end that is looked for.
LISTS = (
    ("value", "largest"),
    ("value", "smallest"),
    ("jacobian", "largest"),
    ("hessian_diag", "largest"),
)
_BLOCKS = 64  # of scores, whose largest give a first bound


class ExtremeRows(NamedTuple):
    """The most extreme rows of each list, the first the most extreme; fewer where there are fewer.

    A derivative's score is its size times the width of its input's range, squared for a second
    derivative: about what the output would change by along the whole range.

    Attributes:
        score: float64 (lists, rows), by which they are ordered; -inf where there is no row.
        value: float64 (lists, rows), the number itself.
        direction: int64 (lists, rows), of the derivative with that score; -1 for a value.
        file: int64 (lists, rows), the position of the row's file in `files`.
        index: int64 (lists, rows), the row in its file.
        point: float64 (lists, rows, n), its inputs.
        files: names of files, ascending.
    """

    score: np.ndarray
    value: np.ndarray
    direction: np.ndarray
    file: np.ndarray
    index: np.ndarray
    point: np.ndarray
    files: tuple[str, ...]

    def merged(self, other: "ExtremeRows") -> "ExtremeRows":
        """Return the most extreme rows of both, as many as of one."""
        files = tuple(sorted({*self.files, *other.files}))
        place = {name: at for at, name in enumerate(files)}
        parts = [each._renumbered(place) for each in (self, other)]
        joined = [np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True)]
        score, _, _, file, index, _ = joined
        keep = self.score.shape[1]
        order = np.lexsort((index, file, -score), axis=1)[:, :keep]
        chosen = [
            np.take_along_axis(array, order[..., None] if array.ndim == 3 else order, axis=1)
            for array in joined
        ]
        return _without_others(ExtremeRows(*chosen, files))

    def _renumbered(self, place: Mapping[str, int]) -> list[np.ndarray]:
        numbers = np.array([place[name] for name in self.files], np.int64)
        file = numbers[self.file] if numbers.size else self.file
        return [self.score, self.value, self.direction, file, self.index, self.point]


def _without_others(rows: ExtremeRows) -> ExtremeRows:
    """Return the same without the names of files that no row is of any longer."""
    used = np.unique(rows.file[np.isfinite(rows.score)])
    place = np.zeros(len(rows.files), np.int64)
    place[used] = np.arange(used.size)
    file = np.where(np.isfinite(rows.score), place[rows.file], 0) if len(place) else rows.file
    return rows._replace(file=file, files=tuple(rows.files[at] for at in used))


def no_rows(numbers: RowNumbers, keep: int) -> ExtremeRows:
    """Return lists without rows, for `keep` of them each."""
    shape = sum(q in numbers.slices for q, _ in LISTS) * len(numbers.outputs), keep
    whole = [np.zeros(shape, np.int64) for _ in range(3)]
    return ExtremeRows(
        np.full(shape, -np.inf),
        np.zeros(shape),
        whole[0] - 1,
        *whole[1:],
        np.zeros((*shape, len(numbers.inputs))),
        (),
    )


def lists_of(numbers: RowNumbers) -> list[tuple[str, str, str]]:
    """Return quantity, end and output of each list."""
    return [
        (quantity, end, output)
        for quantity, end in LISTS
        if quantity in numbers.slices
        for output in numbers.outputs
    ]


def extreme_rows(
    numbers: RowNumbers,
    blocks: Mapping[str, np.ndarray],
    widths: Sequence[float],
    file: str,
    index: np.ndarray,
    floor: np.ndarray,
) -> ExtremeRows:
    """Return the most extreme of some rows.

    Args:
        numbers: of a row.
        blocks: the inputs and quantities (numbers, rows), by name.
        widths: of the range of each direction.
        file: that the rows come from.
        index: int64 (rows,), their place in it.
        floor: float64 (lists, keep), scores of rows that are known already: who is not above the
            last of a list need not be looked at.
    """
    extreme = no_rows(numbers, floor.shape[1])
    scales = {"jacobian": np.asarray(widths), "hessian_diag": np.square(widths)}
    for at, (quantity, end, output) in enumerate(lists_of(numbers)):
        block = blocks[quantity].reshape(len(numbers.outputs), -1, index.size)
        values = block[numbers.outputs.index(output)]
        if quantity == "value":
            scores = values[0] if end == "largest" else -values[0]
        else:
            scale = scales[quantity].astype(values.dtype)
            scores = np.abs(values[0]) * scale[0]
            for value, width in zip(values[1:], scale[1:], strict=True):
                np.maximum(scores, np.abs(value) * width, out=scores)
        rows = _top(scores, floor.shape[1], floor[at, -1])
        direction = np.zeros(rows.size, np.int64)
        if quantity != "value":
            direction = np.argmax(np.abs(values[:, rows]) * scale[:, None], axis=0)
            extreme.direction[at, : rows.size] = direction
        extreme.score[at, : rows.size] = scores[rows]
        extreme.value[at, : rows.size] = values[direction, rows]
        extreme.index[at, : rows.size] = index[rows]
        extreme.point[at, : rows.size] = blocks[INPUT][:, rows].T
    return extreme._replace(files=(file,))


def _top(scores: np.ndarray, keep: int, floor: float) -> np.ndarray:
    """Return the rows of the highest scores, the highest first, those before others at a tie."""
    bound = floor
    if scores.size >= _BLOCKS >= keep:
        whole = scores[: scores.size - scores.size % _BLOCKS].reshape(_BLOCKS, -1)
        # So many blocks have a score that high, each.
        bound = max(bound, np.partition(whole.max(axis=1), -keep)[-keep])
    candidates = np.flatnonzero(scores >= bound)
    return candidates[np.argsort(-scores[candidates], kind="stable")[:keep]]
