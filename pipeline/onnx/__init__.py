"""Functions of one point from ONNX files: the walk of a graph, operator by operator."""

from ._file import all_nodes, read_model
from ._model import Model
from ._refusal import OnnxError
from ._tensor import Tensor

__all__ = ["Model", "OnnxError", "Tensor", "all_nodes", "read_model"]
