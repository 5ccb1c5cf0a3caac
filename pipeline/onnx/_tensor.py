"""An input of a graph: its numbers, and where its rows are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ._refusal import OnnxError
from ._sizes import closed_sizes, input_sizes
from ._values import dtype_of

_DOUBLE = np.dtype("float64")


@dataclass(frozen=True)
class Tensor:
    """An input of a graph.

    Attributes:
        name: in the graph.
        dtype: of its numbers in the file.
        shape: of one point, without the axis of rows.
        rows: how many rows the file fixes; 0 where any number of them will do; None where there is
            no axis of rows.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    rows: int | None

    @property
    def size(self) -> int:
        """How many numbers a point has."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether it takes whole numbers, such as categories: no derivative is to be had."""
        return not np.issubdtype(self.dtype, np.floating)


def input_tensor(
    value: onnx.ValueInfoProto, dimensions: Mapping[str, int], used: set[str]
) -> Tensor:
    """Return an input of a graph.

    Args:
        value: what the graph says of it.
        dimensions: {name: size} for the dimensions that the file leaves open.
        used: to which the names of those that it has are added.

    Raises:
        OnnxError: if it is no array of numbers whose sizes are known but for the rows.
    """
    what = f"input '{value.name}'"
    if value.type.WhichOneof("value") != "tensor_type":
        raise OnnxError(f"{what} is no array")
    kind = value.type.tensor_type
    dtype_of(kind.elem_type, _DOUBLE)  # refuses what is not computed
    if not kind.HasField("shape"):
        raise OnnxError(f"{what} has no shape in the file; export the model with one")
    sizes = input_sizes(value, dimensions, used)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if sizes and sizes[0] is None:
        return Tensor(value.name, dtype, closed_sizes(value, sizes[1:]), 0)
    if len(sizes) > 1:
        return Tensor(value.name, dtype, closed_sizes(value, sizes[1:]), sizes[0])
    return Tensor(value.name, dtype, closed_sizes(value, sizes), None)


def whole_first_axis(tensor: Tensor) -> Tensor:
    """Return an input whose first axis, of a fixed size, is one of each point."""
    return replace(tensor, shape=(tensor.rows or 0, *tensor.shape), rows=None)


def number_for_each(tensor: Tensor, rows: int) -> Tensor:
    """Return a vector of so many numbers as an input of one number; any other one as it is."""
    is_vector = tensor.rows is None and tensor.shape == (rows,)
    return replace(tensor, shape=(), rows=rows) if is_vector else tensor
