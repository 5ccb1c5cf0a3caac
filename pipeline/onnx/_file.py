"""An ONNX file, read with distrust: nothing outside of its folder, and no more than it says."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, defs

from ._refusal import OnnxError
from ._registry import ML, STANDARD
from ._values import bytes_beside, check_size

_MOST_BYTES = 1 << 31  # what a protobuf message can have
_OLDEST_OPSET = 7  # before, arrays were broadcast by an attribute


def read_model(path: Path) -> ModelProto:
    """Return the model that a file holds, with the data that lies beside it.

    Args:
        path: of the file.

    Raises:
        OnnxError: if it is none, is damaged, names data outside of its folder, or is of an operator
            set that is not known.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise OnnxError(
                "it has more than 2 GB: save it with its weights beside it "
                "(onnx.save(..., save_as_external_data=True))"
            )
        content = path.read_bytes()
    except OSError as error:
        raise OnnxError(f"cannot be read: {error.strerror or error}") from error
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own error, of which there are several
        raise OnnxError("is no ONNX file, or is damaged: it cannot be parsed") from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise OnnxError("is no ONNX file, or an empty one: it has no graph with nodes and outputs")
    for domain, version in opsets(model).items():
        _check_opset(domain, version)
    for tensor in all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            _read_beside(tensor, path.parent)
    return model


def opsets(model: ModelProto) -> dict[str, int]:
    """Return {domain: version} of the operator sets of a model; the standard one's domain is ""."""
    return {
        STANDARD if entry.domain == "ai.onnx" else entry.domain: entry.version
        for entry in model.opset_import
    }


def _check_opset(domain: str, version: int) -> None:
    newest = {STANDARD: defs.onnx_opset_version(), ML: _newest_ml()}.get(domain)
    what = "the operator set" + (f" '{domain}'" if domain else "")
    if newest is not None and not 0 < version <= newest:
        raise OnnxError(
            f"is of version {version} of {what}; the installed onnx knows versions up to {newest}"
        )
    if domain == STANDARD and version < _OLDEST_OPSET:
        raise OnnxError(
            f"is of version {version} of {what}, which was another one then; convert it to version "
            f"{_OLDEST_OPSET} or later (onnx.version_converter)"
        )


def _newest_ml() -> int:
    return max(s.since_version for s in defs.get_all_schemas_with_history() if s.domain == ML)


def all_nodes(model: ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes of a model: of its graph, of graphs within nodes, of its functions."""
    graphs = [list(model.graph.node), *(list(function.node) for function in model.functions)]
    while graphs:
        for node in graphs.pop():
            yield node
            for attribute in node.attribute:
                graphs += [list(graph.node) for graph in (attribute.g, *attribute.graphs)]


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Return all tensors of a model: of its graph, those within it, and its functions."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_attributes(function.attribute_proto)
        for node in function.node:
            yield from _tensors_of_attributes(node.attribute)


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_attributes(node.attribute)


def _tensors_of_attributes(attributes: Sequence[onnx.AttributeProto]) -> Iterator[TensorProto]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _tensors_of_graph(graph)


def _read_beside(tensor: TensorProto, folder: Path) -> None:
    """Read a tensor's data from a file beside the model's, into the tensor.

    Raises:
        OnnxError: if that file is elsewhere, or has not the bytes that the tensor needs.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    what = f"the data of '{tensor.name}' lies in '{location[:200]}'"
    home = folder.resolve()
    try:
        file = (home / location).resolve()  # through links
    except (ValueError, RuntimeError, OSError):  # a zero in it, links in a circle
        file = home
    if not location or not file.is_relative_to(home) or file == home:
        raise OnnxError(f"{what}, which is not in the model's own folder; it is not read")
    needed = bytes_beside(tensor.data_type, math.prod(check_size(tensor.dims)))
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", needed))
        if length != needed or offset < 0 or not file.is_file():
            raise ValueError
        with file.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(needed)
    except (ValueError, OSError) as error:
        raise OnnxError(f"{what}, where it cannot be read") from error
    if len(data) != needed:
        raise OnnxError(f"{what}, which has {len(data):,} of its {needed:,} bytes")
    tensor.raw_data = data
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
