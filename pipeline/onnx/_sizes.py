"""The sizes of a model's inputs: those of the file, and those that configuration sets."""

from collections.abc import Mapping, Sequence

import onnx

from ._refusal import OnnxError
from ._values import check_size


def input_sizes(
    value: onnx.ValueInfoProto, dimensions: Mapping[str, int], used: set[str]
) -> list[int | None]:
    """Return the sizes of an input; None where neither the file nor `dimensions` says one.

    Args:
        value: of the graph.
        dimensions: {name: size}; a dimension without a name is input.1, by input and position.
        used: to which the names are added that were needed.
    """
    sizes: list[int | None] = []
    for position, dimension in enumerate(value.type.tensor_type.shape.dim):
        name = dimension_name(value, position)
        if dimension.HasField("dim_value"):
            sizes.append(dimension.dim_value)
        elif name in dimensions:
            used.add(name)
            sizes.append(dimensions[name])
        else:
            sizes.append(None)
    return sizes


def closed_sizes(value: onnx.ValueInfoProto, sizes: Sequence[int | None]) -> tuple[int, ...]:
    """Return the last sizes of an input, which must all be known.

    Raises:
        OnnxError: naming the first that is not.
    """
    offset = len(value.type.tensor_type.shape.dim) - len(sizes)
    if None in sizes:
        position = offset + list(sizes).index(None)
        raise OnnxError(
            f"input '{value.name}' leaves its dimension {position} open; set network.dimensions="
            f"{{{dimension_name(value, position)}: ...}}"
        )
    return check_size([size for size in sizes if size is not None])


def dimension_name(value: onnx.ValueInfoProto, position: int) -> str:
    """Return the name of a dimension of an input: its own, or the input's with the position."""
    return value.type.tensor_type.shape.dim[position].dim_param or f"{value.name}.{position}"
