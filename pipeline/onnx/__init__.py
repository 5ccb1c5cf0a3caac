"""Functions of one point from ONNX files: the walk of a graph, operator by operator."""

from ._file import all_nodes, read_model
from ._model import Model, Tensor
from ._refusal import OnnxError

__all__ = ["Model", "OnnxError", "Tensor", "all_nodes", "read_model"]
