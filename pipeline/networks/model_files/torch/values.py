"""What PyTorch itself computes of a program, operator by operator, in the types of the file."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from .archive import TorchError
from .conversion import has_free_rows
from .program import Program


def library_values(
    program: Program,
    dimensions: Mapping[str, int],
    chosen: Sequence[str],
    n_inputs: int,
    points: np.ndarray,
) -> np.ndarray:
    """Return PyTorch's values.

    Rows go in together where the program takes more than one, so that a program whose rows act on
    one another differs from the function of one point.

    Args:
        program: of the file.
        dimensions: {name: size} for dimensions that it leaves open, but for the rows.
        chosen: the outputs that are wanted.
        n_inputs: how many numbers a point has.
        points: (rows, n), float64.

    Returns:
        (rows, m), float64.

    Raises:
        TorchError: if the number of rows cannot be told.
        Exception: whatever an operator raises.
    """
    shapes, with_rows, wanted = _layout(program, dimensions, n_inputs)
    most = (wanted or len(points)) if all(with_rows) else 1
    weights = program.tensors(None)
    values = []
    for start in range(0, len(points), most):
        rows = points[start : start + most]
        count = wanted or len(rows)
        padded = np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
        arrays = list(_arrays(program, padded, shapes, with_rows))
        with torch.no_grad():
            results = program.run(weights, arrays, None, count)
        by_name = dict(zip(program.outputs, results, strict=True))
        parts = [
            by_name[name].double().numpy() for name in chosen if by_name[name].is_floating_point()
        ]
        parts = [
            part.reshape(count, -1)
            if any(with_rows) and part.ndim and len(part) == count
            else np.repeat(part.reshape(1, -1), count, axis=0)
            for part in parts
        ]
        values.append(np.concatenate(parts, axis=1)[: len(rows)])
    return np.concatenate(values)


def _layout(
    program: Program, dimensions: Mapping[str, int], n_inputs: int
) -> tuple[list[list[int]], list[bool], int]:
    """Return the shape of a point in each input, whether it has rows there, and how many.

    The number is 0 where any number of rows will do. Where the file fixes it, how many numbers a
    point was found to have tells whether the first axis is one of rows.
    """
    sizes = [[dimensions.get(str(n), n) for n in item.sizes] for item in program.inputs]
    free = [has_free_rows(item, dimensions) for item in program.inputs]
    full = [[n for n in shape if not isinstance(n, str)] for shape in sizes]
    if sum(map(math.prod, full)) == n_inputs:
        return full, free, 0 if any(free) else 1
    with_rows = [len(shape) > 1 for shape in full]
    shapes = [shape[rows:] for shape, rows in zip(full, with_rows, strict=True)]
    numbers = {shape[0] for shape, rows in zip(full, with_rows, strict=True) if rows}
    if any(free) or sum(map(math.prod, shapes)) != n_inputs or len(numbers) != 1:
        raise TorchError("how many rows its program takes cannot be told")
    return shapes, with_rows, numbers.pop()


def _arrays(
    program: Program,
    points: np.ndarray,
    shapes: Sequence[Sequence[int]],
    with_rows: Sequence[bool],
) -> Iterator[torch.Tensor]:
    """Return the inputs of some points, in the types of the file."""
    start = 0
    for item, shape, rows in zip(program.inputs, shapes, with_rows, strict=True):
        columns = points[:, start : start + math.prod(shape)]
        start += math.prod(shape)
        array = torch.from_numpy(columns if item.dtype.is_floating_point else np.round(columns))
        full = (len(points), *shape) if rows else tuple(shape)
        yield (array if rows else array[0]).reshape(full).to(item.dtype)
