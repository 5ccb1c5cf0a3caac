"""A network from a program that PyTorch exported, as `torch.export.save` writes it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hyperdiag.hyperdual import reason
from hyperdiag.messages.errors import UsageError

from ...digest import digest_of
from ...extra import needs
from ...network import Network
from .archive import TorchError, read_archive


def build(
    path: str,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    dimensions: dict[str, int] | None = None,
    ranges: dict[str, Any] | None = None,
    compare: bool = True,
    dtype: str = "float32",
) -> Network:
    """A program of a PyTorch file: network.path=model.pt2 (extra `torch`)."""
    file, sizes = Path(path).expanduser(), dimensions or {}
    try:
        # First, without PyTorch: what is no such file is said soon.
        archive = read_archive(file)
        with needs("torch", "torch", "onnx", "onnxscript"):
            import onnxscript  # noqa: F401, which PyTorch's exporter needs

            from hyperdiag.onnx import OnnxError

            from ..onnx_network import Choice, network_of
            from .conversion import converted
            from .program import Program
            from .values import library_values
        program = Program(archive)
        digest = digest_of(
            f"torch {outputs} {sorted(sizes.items())} {program.definition}",
            {name: weight.array for name, weight in program.weights.items()},
        )
        try:
            proto = converted(program, sizes, digest)
            network = network_of(
                "torch", proto, Choice(inputs, outputs, None, ranges), file.name, dtype
            )
        except OnnxError as error:
            raise TorchError(f"cannot be computed as the ONNX model that it is: {error}") from error
    except TorchError as error:
        raise UsageError(f"network.path={path}: {error}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise UsageError(f"network.path={path}: {reason(error)}") from error
    chosen = outputs if outputs and set(outputs) <= set(program.outputs) else program.outputs
    values = partial(library_values, program, sizes, chosen, network.n_inputs)
    return replace(
        network,
        digest=digest,
        facts=program.facts,
        library_values=values if compare else None,
        library_epsilon=program.epsilon,
    )
