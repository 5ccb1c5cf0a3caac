"""The most extreme rows: where an output, its slopes or its curvatures are the largest."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .highest_scores import Scores
from .numbers import INPUT, RowNumbers
from .places import Places

# Kinds of lists, one of each for every output: a quantity, the end that is looked for, and the size
# by which rows are ordered.
_SIZES = {
    ("value", "largest"): np.positive,
    ("value", "smallest"): np.negative,
    ("jacobian", "largest"): np.abs,
    ("hessian_diag", "largest"): np.abs,
}
_NARROW = 1e-9  # beside the widest: the square of such a width is small for float32


class ExtremeRows(NamedTuple):
    """The most extreme rows of each list, the first the most extreme; fewer where there are fewer.

    A derivative's score is its size times the width of its input's range, beside the widest of all
    (squared for a second derivative): in proportion to what the output would change by along it.

    Attributes:
        score: float64 (lists, rows), by which they are ordered; -inf where there is no row.
        value: float64 (lists, rows), the number itself.
        direction: int64 (lists, rows), of the derivative with that score; -1 for a value.
        file: int64 (lists, rows), the position of the row's file in `files`.
        row: int64 (lists, rows), the row in its file.
        point: float64 (lists, rows, n), its inputs.
        files: names of files, ascending.
    """

    score: np.ndarray
    value: np.ndarray
    direction: np.ndarray
    file: np.ndarray
    row: np.ndarray
    point: np.ndarray
    files: tuple[str, ...]

    def merged(self, other: "ExtremeRows") -> "ExtremeRows":
        """Return the most extreme rows of both, as many as of one."""
        if not (other.score[:, :1] >= self.score[:, -1:]).any():
            return self  # as a rule, once there are many rows
        files = tuple(sorted({*self.files, *other.files}))
        parts = [each._by_files(files) for each in (self, other)]
        joined = {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
        order = np.lexsort((joined["row"], joined["file"], -joined["score"]), axis=1)
        order = order[:, : self.score.shape[1]]
        chosen = {
            name: np.take_along_axis(array, order[..., None] if array.ndim == 3 else order, axis=1)
            for name, array in joined.items()
        }
        return _without_others(ExtremeRows(**chosen, files=files))

    def _by_files(self, files: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the arrays, the files being positions in another list that has all of them."""
        arrays = self._asdict()
        del arrays["files"]
        if self.files:
            arrays["file"] = np.array([files.index(name) for name in self.files])[self.file]
        return arrays


def _without_others(rows: ExtremeRows) -> ExtremeRows:
    """Return the same without the names of files that no row is of any longer."""
    used = np.unique(rows.file[np.isfinite(rows.score)])
    place = np.zeros(len(rows.files), np.int64)
    place[used] = np.arange(used.size)
    file = np.where(np.isfinite(rows.score), place[rows.file], 0) if len(place) else rows.file
    return rows._replace(file=file, files=tuple(rows.files[at] for at in used))


def no_rows(numbers: RowNumbers, keep: int) -> ExtremeRows:
    """Return lists without rows, for `keep` of them each."""
    shape = sum(q in numbers.slices for q, _ in _SIZES) * len(numbers.outputs), keep
    return ExtremeRows(
        score=np.full(shape, -np.inf),
        value=np.zeros(shape),
        direction=np.full(shape, -1),
        file=np.zeros(shape, np.int64),
        row=np.zeros(shape, np.int64),
        point=np.zeros((*shape, len(numbers.inputs))),
        files=(),
    )


def lists_of(numbers: RowNumbers) -> list[tuple[str, str, str]]:
    """Return quantity, end and output of each list."""
    return [
        (quantity, end, output)
        for quantity, end in _SIZES
        if quantity in numbers.slices
        for output in numbers.outputs
    ]


def extreme_rows(
    numbers: RowNumbers,
    blocks: Mapping[str, np.ndarray],
    largest: Mapping[str, np.ndarray],
    widths: np.ndarray,
    places: Places,
    floor: np.ndarray,
    ties: bool,
) -> ExtremeRows:
    """Return the most extreme of some rows, which are in order of their places.

    Args:
        numbers: of a row.
        blocks: the inputs and quantities (numbers, rows), by name.
        largest: of each quantity, the largest sizes (m, k) that it has in these rows.
        widths: of the range of each direction.
        places: where they come from.
        floor: float64 (lists, keep), scores of rows that are known already: who is not above the
            last of a list need not be looked at.
        ties: whether who is equal to it must be: where these rows are not after those.
    """
    m, keep = len(numbers.outputs), floor.shape[1]
    extreme = no_rows(numbers, keep)
    # Relative to the widest: whatever the units, their squares are numbers.
    relative = widths / widths.max()
    scales = {"value": np.ones(1), "jacobian": relative, "hessian_diag": np.square(relative)}
    narrow = relative.min() < _NARROW
    kinds = [kind for kind in _SIZES if kind[0] in numbers.slices]
    for position, (quantity, end) in enumerate(kinds):
        values = blocks[quantity].reshape(m, -1, places.row.size)
        scale = scales[quantity].astype(np.float64 if narrow else values.dtype)
        lists = slice(position * m, (position + 1) * m)
        scores = Scores(values, _SIZES[quantity, end], scale, largest[quantity])
        highest = scores.highest(floor[lists, -1], keep, ties)
        output, rank, row, direction, score = highest
        at = output + position * m, rank
        extreme.score[at], extreme.value[at] = score, values[output, direction, row]
        extreme.direction[at] = -1 if quantity == "value" else direction
        extreme.file[at], extreme.row[at] = places.file[row], places.row[row]
        extreme.point[at] = blocks[INPUT][:, row].T
    return extreme._replace(files=places.files)
