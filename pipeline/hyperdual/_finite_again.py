"""Rows whose results are not finite, computed once more by a slower way that spoils less."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._jitted import within_transformation


class FiniteAgain:
    """A function of a batch; rows whose results are not finite come from another one.

    Within a transformation they do not.

    Args:
        function: of arrays with the rows first; all its results have them first, too.
        other: of such arrays.
        differ: tells whether the two can differ at all.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        other: Callable[..., Any],
        differ: Callable[[], bool],
    ):
        self._function, self._other = function, other
        self._differ = functools.cache(differ)

    def __call__(self, *arrays: jax.Array) -> Any:
        """Call the function.

        Raises:
            MemoryError: as it does.
        """
        results = self._function(*arrays)
        if within_transformation() or not self._differ():
            return results
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(results)]
        finite = [np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in leaves]
        (rows,) = np.nonzero(~np.logical_and.reduce(finite))
        if not rows.size:
            return results
        again = self._other(*(array[rows] for array in arrays))
        return jax.tree.map(lambda whole, part: whole.at[rows].set(part), results, again)
