"""Where rows come from."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa


class Places(NamedTuple):
    """Where some rows come from.

    Attributes:
        files: names of files, ascending.
        file: int64 (rows,), the position of each row's file among these.
        row: int64 (rows,), its place in it.
    """

    files: tuple[str, ...]
    file: np.ndarray
    row: np.ndarray

    @staticmethod
    def in_file(name: str, row: np.ndarray) -> "Places":
        """Return the places of rows that all come from one file."""
        return Places((name,), np.zeros(row.size, np.int64), row)

    @staticmethod
    def of_columns(names: pa.ChunkedArray, row: pa.ChunkedArray) -> "Places":
        """Return the places that two columns tell."""
        files, file = np.unique(names.to_numpy(zero_copy_only=False), return_inverse=True)
        return Places(tuple(files.tolist()), file, row.to_numpy())
