"""Where rows come from."""

from collections.abc import Sequence
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

    @staticmethod
    def joined(parts: "Sequence[Places]") -> "Places":
        """Return the places of the rows of all parts, at least one."""
        files = tuple(sorted({name for part in parts for name in part.files}))
        file = [np.array([files.index(name) for name in p.files])[p.file] for p in parts]
        return Places(files, np.concatenate(file), np.concatenate([part.row for part in parts]))

    @property
    def ascend(self) -> bool:
        """Whether each row is after the one before."""
        same = self.file[1:] == self.file[:-1]
        after = np.where(same, self.row[1:] > self.row[:-1], self.file[1:] > self.file[:-1])
        return bool(after.all())

    def order(self) -> np.ndarray:
        """Return the positions of the rows, the first of all first."""
        return np.lexsort((self.row, self.file))

    def take(self, rows: np.ndarray | slice) -> "Places":
        """Return the places of the rows at some positions."""
        return self._replace(file=self.file[rows], row=self.row[rows])
