"""An exported program of PyTorch's: what goes in, its weights, and what comes out."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hyperdiag.messages.errors import listed
from hyperdiag.messages.wording import counted

from ...facts import kinks_at
from .archive import DTYPES, Archive, TorchError, Weight
from .arguments import argument_of, raised, texts_of
from .graph import MOST_NUMBERS, Graph
from .operators import KINKS, base_name, is_of_arrays

_REAL = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True)
class Input:
    """An array that goes in.

    Attributes:
        name: of the argument of the model's `forward`.
        dtype: of its numbers, in the file.
        sizes: of its dimensions; a text where the file leaves one open.
    """

    name: str
    dtype: torch.dtype
    sizes: tuple[int | str, ...]


class Program:
    """What a file computes.

    Args:
        archive: the file.

    Attributes:
        inputs: the arrays that go in.
        outputs: names of the arrays that come out.
        weights: {name in the graph: array}.
        graph: the steps.
        least: {open dimension: its least size}.

    Raises:
        TorchError: if it calls what is not known, or is not of arrays alone.
    """

    def __init__(self, archive: Archive):
        self.inputs: list[Input] = []
        self.weights: dict[str, Weight] = {}
        self._fixed: dict[str, Any] = {}
        try:
            self._read(archive)
        except TorchError:
            raise
        except Exception as error:  # whatever damaged JSON makes of it
            raise TorchError("is damaged: its graph is not in order") from error
        if not self.inputs:
            raise TorchError("its program takes no arrays")
        if not self.outputs:
            raise TorchError("its program returns no arrays")
        self._writes = any(
            getattr(getattr(step.function, "_schema", None), "is_mutable", False)
            for step in self.graph.all_steps()
        )

    def _read(self, archive: Archive) -> None:
        graph, signature = archive.graph_module["graph"], archive.graph_module["signature"]
        stored = {**archive.constants, **archive.weights}
        for spec in signature["input_specs"]:
            ((kind, entry),) = spec.items()
            if kind == "constant_input":
                self._fixed[entry["name"]] = argument_of(entry["value"], {}, None)
                continue
            argument = entry["arg"]
            if kind == "user_input" and "as_tensor" in argument:
                name = argument["as_tensor"]["name"]
                self.inputs.append(_input(name, graph["tensor_values"][name]))
            elif kind in ("parameter", "buffer", "tensor_constant"):
                key = entry[f"{kind}_name"]
                if key not in stored:
                    raise TorchError(f"is damaged: it has no weight '{str(key)[:100]}'")
                self.weights[argument["name"]] = stored[key]
            else:
                raise TorchError(
                    f"its program takes an input that is no array ({str(kind)[:40]}); export a "
                    "model whose forward takes arrays"
                )
        # What a program returns beside its results are new values of its weights.
        results = [
            spec["user_output"]["arg"].get("as_tensor", {}).get("name")
            for spec in signature["output_specs"]
            if "user_output" in spec
        ]
        self.outputs = [text for text in texts_of(archive.graph_module, results) if text]
        self.graph = Graph.of(graph, [name for name in results if name])
        self.least = {name: int(bounds["min_val"] or 0) for name, bounds in archive.ranges.items()}

    @property
    def definition(self) -> str:
        """What it computes, but for the numbers of its weights."""
        weights = {name: weight.dtype for name, weight in self.weights.items()}
        inputs = [(item.name, str(item.dtype), item.sizes) for item in self.inputs]
        parts = [inputs, self._fixed, weights, self.outputs, self.graph.definition]
        return json.dumps(parts, sort_keys=True)

    @property
    def facts(self) -> tuple[str, ...]:
        """Lines for people: what it is made of, and where its derivatives jump."""
        steps = [step for step in self.graph.all_steps() if is_of_arrays(step.target)]
        operators = Counter(base_name(step.target) for step in steps)
        parameters = sum(w.array.size for w in self.weights.values() if w.is_parameter)
        line = (
            f"{counted(len(steps), 'operator')}, {counted(parameters, 'parameter')}: "
            + ", ".join(f"{name} {count}" for name, count in operators.most_common())
        )
        kinks = [step.what for step in steps if base_name(step.target) in KINKS]
        held = [step.what for step in steps if base_name(step.target).startswith("detach")]
        passed = f"derivatives pass through {listed(held)}, which stops gradients in PyTorch"
        return line, *kinks_at(kinks), *([passed] if held else [])

    @property
    def epsilon(self) -> float:
        """Of the least exact of its floating-point types."""
        types = {tensor.dtype for tensor in self.tensors(None).values()}
        types |= {item.dtype for item in self.inputs}
        types |= {
            argument_of(argument, {}, None)
            for step in self.graph.all_steps()
            for argument in (*step.positional, *step.named.values())
            if "as_scalar_type" in argument
        }
        return max(torch.finfo(kind).eps for kind in types | {torch.float32} if kind in _REAL)

    def tensors(self, real: torch.dtype | None) -> dict[str, torch.Tensor]:
        """Return {name in the graph: array} of the weights.

        Args:
            real: the dtype that stands for every floating-point type; None: as in the file.
        """
        return {name: _tensor(weight, real) for name, weight in self.weights.items()}

    def run(
        self,
        weights: Mapping[str, torch.Tensor],
        arrays: Sequence[torch.Tensor],
        real: torch.dtype | None,
        rows: int,
    ) -> list[torch.Tensor]:
        """Return the arrays that come out.

        Args:
            weights: as `tensors` returns them.
            arrays: one for each input.
            real: the dtype that stands for every floating-point type; None: as in the file.
            rows: how many go in at once.

        Raises:
            TorchError: if its arrays would be too large, or it is damaged.
            Exception: whatever an operator raises.
        """
        values: dict[str, Any] = {**weights, **self._fixed}
        values |= {item.name: array for item, array in zip(self.inputs, arrays, strict=True)}
        if self._writes:  # into copies, so that the next call finds the weights as they were
            values = {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in values.items()
            }
        return self.graph.run(values, real, MOST_NUMBERS * rows)


def _tensor(weight: Weight, real: torch.dtype | None) -> torch.Tensor:
    array = torch.from_numpy(weight.array.copy())
    if weight.dtype == "bfloat16":
        array = array.view(torch.bfloat16)
    return array.to(raised(array.dtype, real))


def _input(name: str, meta: Any) -> Input:
    sizes = tuple(
        size["as_int"] if "as_int" in size else _symbol(name, size["as_expr"]["expr_str"])
        for size in meta["sizes"]
    )
    fixed = [size for size in sizes if not isinstance(size, str)]
    if not all(type(size) is int and size >= 0 for size in fixed):
        raise TorchError(f"input '{name[:60]}' has a shape that is none")
    if math.prod(fixed) > MOST_NUMBERS:
        raise TorchError(f"input '{name[:60]}' takes {math.prod(fixed):.3g} numbers, too many")
    dtype = getattr(torch, DTYPES[meta["dtype"]][1]) if meta["dtype"] in DTYPES else None
    if dtype is None or dtype.is_complex:
        raise TorchError(f"input '{name[:60]}' takes numbers of a type that is not computed")
    return Input(name, dtype, sizes)


def _symbol(name: str, expression: str) -> str:
    """Return the name of an open dimension, which the file writes as an expression."""
    text = expression
    if text.startswith("Symbol('"):
        text = text.removeprefix("Symbol('").partition("'")[0]
    if not text.isidentifier() or len(text) > 40:
        raise TorchError(
            f"input '{name[:60]}' has a dimension that depends on another one "
            f"({expression[:60]}); export it with dimensions that are fixed, or free"
        )
    return text
