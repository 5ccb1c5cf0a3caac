"""From a program of PyTorch's to an ONNX model, by PyTorch's own exporter."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hyperdiag.hyperdual import reason
from hyperdiag.messages.errors import first_line

from .archive import TorchError
from .arguments import raised
from .program import Input, Program

# Some programs cannot take a single row, such as those that drop all dimensions of size 1.
_ROWS = (1, 2)

_DOUBLE = torch.float64
_last: dict[str, onnx.ModelProto] = {}

# Names in the exporter's graph that no operator has.
_INPUT, _OUTPUT = "network_input_", "network_output_"


class _Module(torch.nn.Module):
    """A program as PyTorch's exporter takes it."""

    def __init__(self, program: Program):
        super().__init__()
        self._program = program
        self._names = list(program.weights)
        for at, array in enumerate(program.tensors(_DOUBLE).values()):
            self.register_buffer(f"weight{at}", array)

    def forward(self, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights = {name: getattr(self, f"weight{at}") for at, name in enumerate(self._names)}
        return tuple(self._program.run(weights, arrays, _DOUBLE, 1))


def converted(program: Program, dimensions: Mapping[str, int], digest: str) -> onnx.ModelProto:
    """Return the ONNX model of a program; every floating-point type in it is float64.

    So its constants are exact, whatever the run takes.

    Args:
        program: of the file.
        dimensions: {name: size} for dimensions that it leaves open, but for the rows.
        digest: of these. The model that was made last is kept, since that takes seconds, and a run
            in float64 builds its network twice.

    Raises:
        TorchError: if it leaves other dimensions open, its arrays would be too large, an operator
            refuses them, or is not converted.
    """
    if digest not in _last:
        _last.clear()
        _last[digest] = _converted(program, dimensions)
    return _last[digest]


def _converted(program: Program, dimensions: Mapping[str, int]) -> onnx.ModelProto:
    with _quiet(), torch.no_grad(), _default_dtype(_DOUBLE):
        rows = _rows(program, dimensions)
        arrays = tuple(
            torch.zeros(_sizes(item, dimensions, rows), dtype=raised(item.dtype, _DOUBLE))
            for item in program.inputs
        )
        try:
            exported = torch.onnx.export(
                _Module(program).eval(),
                arrays,
                dynamo=True,
                verbose=False,
                input_names=[f"{_INPUT}{at}" for at in range(len(program.inputs))],
                output_names=[f"{_OUTPUT}{at}" for at in range(len(program.outputs))],
            )
        except Exception as error:  # of many kinds
            raise TorchError(
                f"is not converted by PyTorch's exporter to ONNX: {_cause(error)}"
            ) from error
    proto: onnx.ModelProto = exported.model_proto
    names = {f"{_INPUT}{at}": item.name for at, item in enumerate(program.inputs)}
    names |= {f"{_OUTPUT}{at}": name for at, name in enumerate(program.outputs)}
    _rename(proto.graph, names)
    _bound(proto.graph)
    if rows == 1:
        for value, item in zip(proto.graph.input, program.inputs, strict=True):
            if has_free_rows(item, dimensions):
                value.type.tensor_type.shape.dim[0].dim_param = str(item.sizes[0])
    return proto


def has_free_rows(item: Input, dimensions: Mapping[str, int]) -> bool:
    """Tell whether an input takes any number of rows."""
    return bool(item.sizes) and isinstance(item.sizes[0], str) and item.sizes[0] not in dimensions


def _sizes(item: Input, dimensions: Mapping[str, int], rows: int) -> list[int]:
    sizes = []
    for place, size in enumerate(item.sizes):
        if not isinstance(size, str):
            sizes.append(size)
        elif size in dimensions:
            sizes.append(dimensions[size])
        elif place == 0:
            sizes.append(rows)
        else:
            raise TorchError(
                f"input '{item.name}' leaves its dimension {place} open ('{size}'); set "
                f"network.dimensions={{{size}: ...}}"
            )
    return sizes


def _rows(program: Program, dimensions: Mapping[str, int]) -> int:
    """Return with how many rows a program can be run, found out without computing anything."""
    unused = set(dimensions) - {size for item in program.inputs for size in item.sizes}
    if unused:
        raise TorchError(f"no input has a dimension '{sorted(unused)[0]}'")
    free = [item for item in program.inputs if has_free_rows(item, dimensions)]
    least = max((program.least.get(str(item.sizes[0]), 0) for item in free), default=0)
    first: Exception | None = None
    for rows in _ROWS if free and least <= 1 else (max(least, 1),):
        if rows > 1 and any(len(item.sizes) == 1 for item in free):
            continue  # it would be taken for one point of so many numbers
        mode = FakeTensorMode()
        weights = {name: mode.from_tensor(a) for name, a in program.tensors(_DOUBLE).items()}
        try:
            with mode:
                arrays = [
                    torch.empty(_sizes(item, dimensions, rows), dtype=raised(item.dtype, _DOUBLE))
                    for item in program.inputs
                ]
                results = program.run(weights, arrays, _DOUBLE, rows)
        except TorchError:
            raise
        except Exception as error:  # whatever an operator makes of its arguments
            first = first or error
        else:
            for name, result in zip(program.outputs, results, strict=True):
                if result.is_complex():
                    raise TorchError(
                        f"its output '{name}' is complex; let the model return "
                        "torch.view_as_real of it"
                    )
            return rows
    assert first is not None
    raise TorchError(f"cannot be run: {reason(first)}") from first


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give inputs and outputs the names of the program, which other values may have by chance."""

    def renamed(name: str) -> str:
        return name and names.get(name, f"value_{name}")

    for tensor in (*graph.initializer, *graph.input, *graph.output):
        tensor.name = renamed(tensor.name)
    del graph.value_info[:]
    for node in graph.node:
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


def _bound(graph: onnx.GraphProto) -> None:
    """Write the largest number of float32 for that of float64, which stands for "masked".

    In a float32 run it would become infinite, and a row that is masked as a whole no number.
    """
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(item.t for item in attributes)):
        if tensor.data_type == onnx.TensorProto.DOUBLE:
            array = onnx.numpy_helper.to_array(tensor)
            largest = np.abs(array) == np.finfo(np.float64).max
            if largest.any():
                bounded = np.where(largest, np.sign(array) * np.finfo(np.float32).max, array)
                tensor.CopyFrom(onnx.numpy_helper.from_array(bounded, tensor.name))
    for item in attributes:
        for inner in (item.g, *item.graphs):
            _bound(inner)


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what PyTorch says of its own steps off the terminal; errors are raised all the same."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
