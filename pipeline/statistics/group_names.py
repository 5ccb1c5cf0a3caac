"""Groups of rows: those with one value in a column of the dataset, and how many there may be."""

import numpy as np
import pyarrow as pa

from .shape import Shape

MOST_GROUPS = 10_000
# Groups times numbers of a row: a shard keeps 40 bytes of each, and the driver some 200.
_MOST_NUMBERS = 1 << 19
# The same of groups that have all statistics, and bytes that these may take.
_MOST_COMPLETE = 64
_MOST_BYTES = 1 << 26

Name = str | None  # of a group; None: that of rows without a value


def most_groups(numbers: int) -> int:
    """Return how many groups there may be of rows of so many numbers each."""
    return min(MOST_GROUPS, _MOST_NUMBERS // numbers)


def most_complete_groups(shape: Shape) -> int:
    """Return how many groups may have all statistics of this shape that all rows have."""
    return min(_MOST_COMPLETE, _MOST_BYTES // shape.bytes_taken, most_groups(shape.numbers.count))


def group_names(values: pa.ChunkedArray) -> set[Name]:
    """Return the names of the groups that values of a column tell."""
    return set(groups_of(values)[0])


def groups_of(values: pa.ChunkedArray) -> tuple[list[Name], np.ndarray]:
    """Return the names of the groups that values tell, and each value's position among them."""
    encoded = values.combine_chunks().cast(pa.string()).dictionary_encode("encode")
    present, codes = np.unique(np.asarray(encoded.indices), return_inverse=True)
    # As bytes: text of other programs need not be UTF-8.
    texts = encoded.dictionary.take(pa.array(present)).cast(pa.binary()).to_pylist()
    names = [None if t is None else t.decode(errors="backslashreplace") for t in texts]
    positions = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return list(positions), np.array([positions[name] for name in names], np.intp)[codes]


def group_order(name: Name) -> tuple[bool, str]:
    """Return by what groups are sorted."""
    return name is not None, name or ""
