"""Values on their way through a graph: constants are NumPy arrays, what depends on x is JAX's.

Every floating-point type of a model (float16, bfloat16, float, double) is here the one type that a
run asks for, so that a model is computed in float64 as a whole, its constants too.
"""

import math
import re
from collections.abc import Container
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import GraphProto, SparseTensorProto, TensorProto, numpy_helper

from ._refusal import OnnxError

# Of one array, in numbers: 4 GB of float64. A file of some bytes can ask for any size.
MOST_NUMBERS = 1 << 29
# Of all constants together that are computed while a graph is walked: 1 GB of float64.
MOST_COMPUTED = 1 << 27

_FLOATING = {
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
}
_WHOLE = {
    TensorProto.BOOL,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
}
# Types that constants alone may have, such as weights that DequantizeLinear takes, with their bits.
_SHORT_BITS = {
    code: int(re.findall(r"\d+", name)[0])
    for name, code in TensorProto.DataType.items()
    if name in ("INT2", "INT4", "UINT2", "UINT4") or name.startswith(("FLOAT4", "FLOAT6", "FLOAT8"))
}


def type_name(code: int) -> str:
    """Return the name of an element type, as in ONNX's own pages."""
    try:
        return TensorProto.DataType.Name(code)
    except ValueError:
        return f"number {code}"


def dtype_of(code: int, real: np.dtype) -> np.dtype:
    """Return the dtype of an element type.

    Args:
        code: of the element type, a `TensorProto.DataType`.
        real: the dtype that stands for every floating-point type.

    Raises:
        OnnxError: for text, complex numbers, and shorter numbers than these.
    """
    if code in _FLOATING:
        return real
    if code in _WHOLE:
        return onnx.helper.tensor_dtype_to_np_dtype(code)
    raise OnnxError(f"arrays of type {type_name(code)} are not computed; cast them to FLOAT")


def check_size(shape: Any) -> tuple[int, ...]:
    """Return a shape as whole numbers.

    Raises:
        OnnxError: if an array of this shape is too large to be meant, or a size is negative.
    """
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes):
        raise OnnxError(f"an array cannot have the shape {list(sizes)}")
    if math.prod(sizes) > MOST_NUMBERS:
        raise OnnxError(
            f"an array of shape {list(sizes)} has {math.prod(sizes):.3g} numbers; "
            f"at most {MOST_NUMBERS:,} are computed"
        )
    return sizes


def constant(tensor: TensorProto, real: np.dtype) -> np.ndarray:
    """Return what a tensor of the file holds, its data being within it.

    Raises:
        OnnxError: if its type is not computed, or its data does not fit its shape.
    """
    code = tensor.data_type
    dtype = None if code in _SHORT_BITS else dtype_of(code, real)  # a short one keeps its own
    shape = check_size(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL:
        raise OnnxError(f"the data of the tensor '{tensor.name}' is not in the file")
    try:
        array = np.asarray(numpy_helper.to_array(tensor)).reshape(shape)
        return array if dtype is None else array.astype(dtype, copy=False)
    except Exception as error:  # whatever a damaged tensor makes of it
        raise OnnxError(
            f"the data of the tensor '{tensor.name}' does not fit its shape {list(shape)}"
        ) from error


def bytes_beside(code: int, count: int) -> int:
    """Return how many bytes a file beside the model holds for so many numbers of a type.

    Raises:
        OnnxError: if it is none of a constant.
    """
    if code in _SHORT_BITS:
        return -(-count * _SHORT_BITS[code] // 8)
    dtype_of(code, np.dtype("float64"))  # refuses what is not computed
    return count * onnx.helper.tensor_dtype_to_np_dtype(code).itemsize


def dense(sparse: SparseTensorProto, real: np.dtype) -> np.ndarray:
    """Return all numbers of an array of which the file holds those that are not zero.

    Raises:
        OnnxError: if their places are not within its shape, or its data does not fit.
    """
    values, places = constant(sparse.values, real), constant(sparse.indices, real)
    array = np.zeros(check_size(sparse.dims), values.dtype)
    try:
        if places.ndim == 1:
            array.reshape(-1)[places] = values
        else:
            array[tuple(places.T)] = values
    except (IndexError, ValueError) as error:
        raise OnnxError(
            f"the numbers of the sparse tensor '{sparse.values.name}' do not fit its shape "
            f"{list(array.shape)}"
        ) from error
    return array


def constants_of(
    graph: GraphProto, real: np.dtype, wanted: Container[str] | None = None
) -> dict[str, np.ndarray]:
    """Return {name: array} of a graph's constants.

    Args:
        graph: whose constants they are.
        real: the dtype that stands for every floating-point type.
        wanted: the names of those that are read, since others may be text; None for all.

    Raises:
        OnnxError: if the data of one does not fit its shape.
    """
    constants = {
        tensor.name: constant(tensor, real)
        for tensor in graph.initializer
        if wanted is None or tensor.name in wanted
    }
    for sparse in graph.sparse_initializer:
        if wanted is None or sparse.values.name in wanted:
            constants[sparse.values.name] = dense(sparse, real)
    return constants


def is_constant(value: Any) -> bool:
    """Return whether a value does not depend on the inputs of the network."""
    return not isinstance(value, jax.Array)


def cast(value: Any, dtype: np.dtype) -> Any:
    """Return a value in another dtype; of whole numbers JAX may have shorter ones only."""
    if is_constant(value):
        return np.asarray(value).astype(dtype)
    return jnp.asarray(value).astype(jax.dtypes.canonicalize_dtype(dtype))
