"""Rows whose results are not finite, computed once more by a slower way that spoils less."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._jitted import within_transformation

# Rows go to the other function in so many tiles, or in one if they are few: it is compiled twice at
# most, however many there are.
_TILES = 64


class FiniteAgain:
    """A function of a batch; rows whose results are not finite come from another one.

    Within a transformation they do not.

    Args:
        function: of arrays with the rows first; all its results have them first, too.
        other: of such arrays.
        tile: the rows that `other` takes at a time.
        differ: tells whether the two can differ at all.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        other: Callable[..., Any],
        tile: int,
        differ: Callable[[], bool],
    ):
        self._function, self._other, self._tile = function, other, tile
        self._differ = functools.cache(differ)

    def __call__(self, *arrays: jax.Array) -> Any:
        """Call the function.

        Raises:
            MemoryError: as it does.
        """
        results = self._function(*arrays)
        if within_transformation() or not self._differ():
            return results
        leaves, structure = jax.tree.flatten(results)
        derived = [np.asarray(leaf) for leaf in leaves]
        finite = [np.isfinite(leaf).all(axis=tuple(range(1, leaf.ndim))) for leaf in derived]
        (rows,) = np.nonzero(~np.logical_and.reduce(finite))
        if not rows.size:
            return results
        derived = [leaf.copy() for leaf in derived]
        points = [np.asarray(array) for array in arrays]
        size = self._tile * (1 if rows.size <= self._tile else _TILES)
        for begin in range(0, rows.size, size):
            part = rows[begin : begin + size]
            filled = np.pad(part, (0, size - part.size), mode="edge")
            again = self._other(*(array[filled] for array in points))
            for leaf, new in zip(derived, jax.tree.leaves(again), strict=True):
                leaf[part] = np.asarray(new)[: part.size]
        places = [leaf.sharding if leaf.committed else None for leaf in leaves]
        return jax.tree.unflatten(structure, map(jax.device_put, derived, places))
