"""A network from an ONNX file, as PyTorch, scikit-learn, TensorFlow, MATLAB and R write them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperdiag.hyperdual import reason
from hyperdiag.messages.errors import UsageError

from ..extra import needs
from ..network import Network


def build(
    path: str,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    dimensions: dict[str, int] | None = None,
    constants: dict[str, Any] | None = None,
    ranges: dict[str, Any] | None = None,
    compare: bool = True,
    dtype: str = "float32",
) -> Network:
    """A model of an ONNX file: network.path=model.onnx (extra `onnx`)."""
    with needs("onnx", "onnx"):
        from hyperdiag.onnx import OnnxError, read_model

        from .onnx_network import Choice, network_of
    file = Path(path).expanduser()
    choice = Choice(inputs, outputs, dimensions, ranges, constants)
    try:
        network = network_of("onnx", read_model(file), choice, file.name, dtype)
    except OnnxError as error:
        raise UsageError(f"network.path={path}: {error}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise UsageError(f"network.path={path}: {reason(error)}") from error
    return network if compare else replace(network, library_values=None)
