"""Arrays of a safetensors file, as PyTorch, Flax and Equinox users keep parameters.

The format has a header of bounded size, and arrays that fill the file exactly: the library checks
that, and nothing in it can be run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ml_dtypes  # noqa: F401, which brings bfloat16 to NumPy
import numpy as np

from hyperdiag.messages.errors import UsageError, first_line

from .extra import needs

_FLOATS = ("F64", "F32", "F16", "BF16")


class SafetensorsFile:
    """An open safetensors file; its arrays are looked at one by one.

    Args:
        path: of the file.

    Raises:
        UsageError: if it is none, or the package safetensors is not installed.
    """

    def __init__(self, path: str):
        with needs("safetensors", "safetensors"):
            from safetensors import safe_open
        self._path = path
        file = Path(path).expanduser()
        if not file.is_file():
            raise UsageError(f"network.weights: no such file: {path}")
        with self._complaints():
            self._file = safe_open(file, framework="numpy")
            self.names = list(self._file.keys())

    def __enter__(self) -> "SafetensorsFile":
        return self

    def __exit__(self, *_: object) -> None:
        del self._file

    def shape(self, name: str, numbers: int | None = None) -> tuple[int, ...]:
        """Return the shape of an array, without reading it.

        Args:
            name: of the array.
            numbers: how many it shall have; None where any number will do.

        Raises:
            UsageError: if they are none of floating point, where a number of them is expected.
        """
        part = self._file.get_slice(name)
        if numbers is not None and part.get_dtype() not in _FLOATS:
            raise UsageError(f"network.weights: '{name}' in {self._path} must hold finite floats")
        return tuple(part.get_shape())

    def read(self, name: str) -> np.ndarray:
        """Return an array, of numbers of 16 bits as float32.

        Raises:
            UsageError: if it cannot be read.
        """
        with self._complaints():
            array = np.asarray(self._file.get_tensor(name))
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the library raises an error of its own, and others
            raise UsageError(
                f"network.weights: {self._path} is no safetensors file, or is damaged "
                f"({first_line(error)}); save it with safetensors.torch.save_file("
                "model.state_dict(), path)"
            ) from error
