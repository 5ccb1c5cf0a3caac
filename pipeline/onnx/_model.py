"""A model as a function of one point: which numbers go in, which come out, where its rows are."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from . import _operators  # noqa: F401, which enters them
from ._constant_inputs import hold_constant
from ._file import all_nodes, all_tensors, opsets
from ._graph import Walk, needed_names
from ._input_scaling import input_moments
from ._refusal import OnnxError
from ._tensor import input_tensor, number_for_each, whole_first_axis
from ._values import cast, constants_of, dtype_of

_DOUBLE = np.dtype("float64")
_MOST_SETTLED = 1 << 22  # numbers of all rows that a file fixes


class Model:
    """What an ONNX model computes.

    Args:
        proto: the model, as `read_model` returns it.
        dimensions: {name: size} for the dimensions that it leaves open, but for the rows.
        constants: {input: value or values} for the inputs that are no part of a point; in `proto`
            they become constants.

    Raises:
        OnnxError: if its inputs and outputs are none of a function of numbers.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        dimensions: Mapping[str, int],
        constants: Mapping[str, Any] | None = None,
    ):
        self.proto = proto
        used = hold_constant(proto, constants or {}, dimensions)
        graph = self.proto.graph
        initialized = {tensor.name for tensor in graph.initializer}
        initialized |= {tensor.values.name for tensor in graph.sparse_initializer}
        self.inputs = [
            input_tensor(value, dimensions, used)
            for value in graph.input
            if value.name not in initialized
        ]
        if unused := dimensions.keys() - used:
            raise OnnxError(f"no input has a dimension '{min(unused)}'")
        for tensor in self.inputs:
            if tensor.size == 0:
                raise OnnxError(
                    f"input '{tensor.name}' of shape {list(tensor.shape)} has no numbers"
                )
        if not self.inputs:
            raise OnnxError("its graph has no inputs")
        self.outputs = [value.name for value in graph.output if _is_real(value)]
        if not self.outputs:
            raise OnnxError(
                "none of its outputs is an array of floating-point numbers (of a classifier of "
                "scikit-learn's: skl2onnx.to_onnx(..., options={'zipmap': False}))"
            )
        # Where a file fixes how many rows it takes, and needs them, each point goes in as often.
        self._rows = 1
        fixed = {tensor.rows for tensor in self.inputs if tensor.rows}
        several = fixed - {1}
        if several:
            # Beside several rows, one is shared by all of them.
            self.inputs = [
                whole_first_axis(each) if each.rows == 1 else each for each in self.inputs
            ]
            self._settle_rows(max(several), one_number=len(several) == 1)

    @property
    def n_inputs(self) -> int:
        """How many numbers a point has."""
        return sum(tensor.size for tensor in self.inputs)

    @property
    def moments(self) -> np.ndarray:
        """Mean and standard deviation in training of each number, (2, n); nan if not known."""
        known = [
            np.full((2, tensor.size), np.nan)
            if tensor.whole
            else input_moments(self.proto.graph, tensor.name, tensor.size)
            for tensor in self.inputs
        ]
        return np.concatenate(known, axis=1)

    @property
    def epsilon(self) -> float:
        """Of the least exact of the floating-point types in the file."""
        graph = self.proto.graph
        types = {value.type.tensor_type.elem_type for value in graph.input}
        types |= {tensor.data_type for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Cast":
                types |= {attribute.i for attribute in node.attribute}
        for half in (onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16):
            if half in types:
                return float(jnp.finfo(onnx.helper.tensor_dtype_to_np_dtype(half)).eps)
        return float(np.finfo(np.float32).eps)

    @property
    def n_parameters(self) -> int:
        """How many floating-point numbers the model holds as constants."""
        return sum(
            math.prod(tensor.dims) for tensor in all_tensors(self.proto) if _is_float(tensor)
        )

    def parts(self, chosen: Sequence[str], real: np.dtype) -> Callable[[Any], list[jax.Array]]:
        """Return the function of one point, (n,), to the numbers of each output, in a row.

        Args:
            chosen: the outputs that are wanted.
            real: the dtype in which it is computed.

        Raises:
            OnnxError: if a constant does not fit its shape; when called, if a node cannot be
                computed.
        """
        graph = self.proto.graph
        constants = constants_of(graph, real, needed_names(graph, chosen))
        functions = {
            (function.domain, function.name): function for function in self.proto.functions
        }

        def network(x: jax.Array) -> list[jax.Array]:
            walk = Walk(opsets(self.proto), functions, real)
            inputs = list(self._values(x))
            results = walk.graph(graph, inputs, constants=constants, wanted=chosen)
            parts = [jnp.asarray(result, real) for result in results]
            if self._rows > 1:
                parts = [part[0] if _has_rows(part, self._rows) else part for part in parts]
            return [part.reshape(-1) for part in parts]

        return network

    def _settle_rows(self, rows: int, one_number: bool) -> None:
        """Find out by numbers whether the first axis is one of rows, or an axis of each point.

        It is one of rows if no row of the outputs depends on another row of the inputs. Then one
        row is given to the graph, if it computes the same with one; else as many as it wants.
        """
        if rows * self.n_inputs > _MOST_SETTLED:
            raise OnnxError(
                f"it takes {rows:,} rows of {self.n_inputs:,} numbers at once; export it with a "
                "free number of rows"
            )
        if any(map(_stacks, all_nodes(self.proto))):
            raise OnnxError(
                f"it fixes {rows} rows, and whether they are rows cannot be tried: ONNX's own "
                "implementation joins what a Loop is to stack; export it with a free number of them"
            )
        self._rows = rows
        # A vector as long as there are rows may hold a number for each of them.
        shared = self.inputs
        vectors = [number_for_each(each, rows) for each in shared]
        for inputs in (vectors, shared) if vectors != shared else (shared,):
            self.inputs = inputs
            if one_number and self._rows_are_independent(rows):
                break
        else:
            self._rows = 1
            self.inputs = [whole_first_axis(each) if each.rows else each for each in self.inputs]
            return
        point = self._points(np.random.default_rng(1), 1)[0]
        with jax.enable_x64(True):
            by_the_file = jax.jit(self.parts(self.outputs, _DOUBLE))(point)
            self._rows = 1
            try:
                with_one = jax.jit(self.parts(self.outputs, _DOUBLE))(point)
            except OnnxError:
                with_one = []
        if not with_one or not all(map(_same, with_one, by_the_file)):
            self._rows = rows

    def _rows_are_independent(self, rows: int) -> bool:
        """Tell whether no row of the outputs changes with the first row, the last, or others."""
        # Refuses what is too large, before the reference implementation runs.
        with jax.enable_x64(True):
            jax.eval_shape(
                self.parts(self.outputs, _DOUBLE), jax.ShapeDtypeStruct((self.n_inputs,), _DOUBLE)
            )
        rng = np.random.default_rng(0)
        points = self._points(rng, rows)
        # What has no axis of rows is the same for all of them.
        shared = [tensor.rows is None for tensor in self.inputs for _ in range(tensor.size)]
        points[:, shared] = points[0, shared]
        values = self._by_rows(points, rows)
        for kept in (slice(1, None), slice(None, -1), slice(0, 1)):
            changed = self._points(rng, rows)
            changed[kept] = points[kept]
            changed[:, shared] = points[:, shared]
            others = self._by_rows(changed, rows)
            if values is None or others is None or not _same(values[kept], others[kept]):
                return False
        return True

    def _points(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Return points (rows, n), normal, where the data of the training were if that is known."""
        mean, deviation = self.moments
        known = deviation > 0
        drawn = rng.standard_normal((rows, self.n_inputs))
        return np.where(known, mean, 0) + np.where(known, deviation, 1) * drawn

    def _by_rows(self, points: np.ndarray, rows: int) -> np.ndarray | None:
        """Return the outputs at some rows, (rows, m); None if they have no axis of rows."""
        from onnx.reference import ReferenceEvaluator

        arrays = ReferenceEvaluator(self.proto).run(self.outputs, dict(self._feeds(points)))
        if any(np.ndim(array) == 0 or len(array) != rows for array in arrays):
            return None
        return np.concatenate([np.reshape(array, (rows, -1)) for array in arrays], axis=1)

    def _values(self, x: Any) -> Iterator[Any]:
        """Return the graph's inputs at a point (n,)."""
        start = 0
        for tensor in self.inputs:
            value = x[start : start + tensor.size].reshape(tensor.shape)
            start += tensor.size
            if tensor.rows is not None:
                value = jnp.broadcast_to(value[None], (self._rows, *tensor.shape))
            yield cast(jnp.round(value), tensor.dtype) if tensor.whole else value

    def library_values(self, points: np.ndarray, chosen: Sequence[str]) -> np.ndarray:
        """Return what ONNX's own reference implementation computes: (rows, n) to (rows, m).

        Rows go in together where the file takes any number of them, so that a model whose rows act
        on one another differs from the function of one point.

        Raises:
            OnnxError: if that implementation is known to compute something else.
        """
        from onnx.reference import ReferenceEvaluator

        if any(map(_stacks, all_nodes(self.proto))):
            raise OnnxError("ONNX's reference implementation joins what a Loop is to stack")
        evaluator = ReferenceEvaluator(self.proto)
        fixed = {tensor.rows for tensor in self.inputs}
        wanted = max((rows or 0 for rows in fixed), default=0)  # by the file
        most = 1 if None in fixed else wanted or len(points)
        values = []
        for start in range(0, len(points), most):
            rows = points[start : start + most]
            count = wanted or len(rows)
            padded = np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
            arrays = [
                np.asarray(array, np.float64)
                for array in evaluator.run(list(chosen), dict(self._feeds(padded)))
            ]
            parts = [
                array.reshape(count, -1)
                if fixed != {None} and _has_rows(array, count)
                else np.repeat(array.reshape(1, -1), count, axis=0)
                for array in arrays
            ]
            values.append(np.concatenate(parts, axis=1)[: len(rows)])
        return np.concatenate(values)

    def _feeds(self, points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Return the graph's inputs of some rows, in the types of the file."""
        start = 0
        for tensor in self.inputs:
            columns = points[:, start : start + tensor.size]
            start += tensor.size
            columns = np.round(columns) if tensor.whole else columns
            if tensor.rows is None:
                yield tensor.name, columns[0].reshape(tensor.shape).astype(tensor.dtype)
            else:
                shape = len(points), *tensor.shape
                yield tensor.name, columns.reshape(shape).astype(tensor.dtype)


def _stacks(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a loop that stacks a value of each turn beside what it carries."""
    return node.op_type == "Loop" and len(node.output) > len(node.input) - 2


def _has_rows(array: Any, rows: int) -> bool:
    return np.ndim(array) > 0 and np.shape(array)[0] == rows


def _same(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9)


def _is_float(tensor: onnx.TensorProto) -> bool:
    try:
        return tensor.data_type != 0 and dtype_of(tensor.data_type, _DOUBLE) == np.float64
    except OnnxError:
        return False


def _is_real(value: onnx.ValueInfoProto) -> bool:
    if value.type.WhichOneof("value") != "tensor_type":
        return False
    try:
        dtype = dtype_of(value.type.tensor_type.elem_type, _DOUBLE)
    except OnnxError:
        return False
    return dtype == np.float64
