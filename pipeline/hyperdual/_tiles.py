"""A batch in a loop over tiles of its rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


def in_tiles(batched: Callable[..., Any], tile: int | None) -> Callable[..., Any]:
    """Return `batched`, a function of a batch of any size, in a loop over full tiles.

    Args:
        batched: from arrays whose first axis is the rows to a tree of such arrays.
        tile: rows at a time; the last tile is filled up. None: all at once.
    """

    def batch(*arrays: jax.Array) -> Any:
        rows = arrays[0].shape[0]
        if tile is None or rows == 0:
            return batched(*arrays)
        count = -(-rows // tile)
        tiles = [
            jnp.pad(array, ((0, count * tile - rows), (0, 0)), mode="edge").reshape(count, tile, -1)
            for array in arrays
        ]
        first = [array[0] for array in tiles]
        if count == 1:
            results = batched(*first)
        else:

            def one_tile(arrays: list[jax.Array], number: jax.Array) -> tuple[Any, Any]:
                # The next one is read into the loop's state. Where functions of single numbers
                # meet the points at once, XLA's CPU backend would join them with the reading, and
                # such a loop over all tiles' points is two to three times as slow.
                read = partial(jax.lax.dynamic_index_in_dim, index=number, keepdims=False)
                return list(map(read, tiles)), batched(*arrays)

            following = jnp.minimum(jnp.arange(1, count + 1), count - 1)
            _, results = jax.lax.scan(one_tile, first, following)
            results = jax.tree.map(lambda a: a.reshape(count * tile, *a.shape[2:]), results)
        return jax.tree.map(lambda array: array[:rows], results)

    return batch
