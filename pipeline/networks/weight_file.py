"""Arrays of an `.npz` file, of which no more is read than is expected.

A zip file of some megabytes may hold gigabytes of zeros, and the header of an array may claim any
shape, for which NumPy makes room before it reads. So both are looked at first.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from hyperdiag.messages.errors import UsageError, first_line
from hyperdiag.messages.wording import size

_SUFFIX = ".npy"
_MOST_ITEM_BYTES = 16  # of a number: float128
_MOST_HEADER_BYTES = 1 << 16  # that of a plain array has about a hundred


class WeightFile:
    """An open `.npz` file; its arrays are looked at one by one.

    Args:
        path: of the file.

    Raises:
        UsageError: if it is none.
    """

    def __init__(self, path: str):
        self._path = path
        with _complaints(path):
            self._file = zipfile.ZipFile(Path(path).expanduser())
            self._members = {
                member.filename.removesuffix(_SUFFIX): member for member in self._file.infolist()
            }

    def __enter__(self) -> "WeightFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def names(self) -> list[str]:
        """Of its arrays."""
        return list(self._members)

    def shape(self, name: str, numbers: int) -> tuple[int, ...]:
        """Return the shape that an array's header says, without reading the array.

        Args:
            name: of the array.
            numbers: how many it shall have.

        Raises:
            UsageError: if it takes more room in memory than so many numbers do, holds no
                floating-point numbers, or cannot be read.
        """
        member, most = self._members[name], numbers * _MOST_ITEM_BYTES + _MOST_HEADER_BYTES
        if member.file_size > most:
            raise UsageError(
                f"network.weights: '{name}' in {self._path} unpacks to {size(member.file_size)}, "
                f"and {numbers:,} numbers are expected; it is not read"
            )
        with _complaints(self._path), self._file.open(member) as stream:
            shape, dtype = _header(stream)
        if not np.issubdtype(dtype, np.floating):
            raise UsageError(f"network.weights: '{name}' in {self._path} must hold finite floats")
        return shape

    def read(self, name: str) -> np.ndarray:
        """Return an array, whose header was found to be what is expected.

        Raises:
            UsageError: if it cannot be read.
        """
        with _complaints(self._path), self._file.open(self._members[name]) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


@contextmanager
def _complaints(path: str) -> Iterator[None]:
    """Make a sentence of whatever is raised in the block: zip, header and pickle raise a lot."""
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"network.weights: no such file: {path}") from error
    except Exception as error:
        raise UsageError(
            f"network.weights: {path} is not an .npz of plain arrays ({first_line(error)}); "
            "save it with numpy.savez(path, W1=..., b1=..., ...)"
        ) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array of version {version}, which plain ones have not")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    return shape, dtype
