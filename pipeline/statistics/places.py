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
        row = np.concatenate([part.row for part in parts])
        files = parts[0].files
        if all(part.files == files for part in parts):
            return Places(files, np.concatenate([part.file for part in parts]), row)
        used = [np.unique(part.file, return_inverse=True) for part in parts]
        names = [[p.files[at] for at in which] for p, (which, _) in zip(parts, used, strict=True)]
        files = tuple(sorted({name for each in names for name in each}))
        at = {name: position for position, name in enumerate(files)}
        positions = [np.array([at[name] for name in each], np.int64) for each in names]
        file = [mine[inverse] for mine, (_, inverse) in zip(positions, used, strict=True)]
        return Places(files, np.concatenate(file), row)

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
