"""Chains of dense layers, written as in Flux: `Chain(Dense(5, 3, elu), Dense(3, 3))`."""

import ast
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from hyperdiag.messages.errors import Problems, UsageError, closest, listed
from hyperdiag.messages.wording import size

from .activations import ACTIVATIONS, canonical
from .digest import digest_of
from .network import Network, checked_ranges, named
from .weight_file import WeightFile

LAYOUTS = ("out_in", "in_out")
_PARAMETER_BYTES = 8  # float64, in which they are kept


@dataclass(frozen=True)
class Dense:
    """One layer: z = W x + b, then the activation, W of shape (outputs, inputs)."""

    inputs: int
    outputs: int
    activation: str = "identity"

    def __str__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs}, {self.activation})"


def build(
    layers: str | Sequence[str | Mapping[str, Any]],
    weights: str | None = None,
    layout: str = "out_in",
    seed: Annotated[int, Field(ge=0)] = 0,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    ranges: Mapping[str, Sequence[float]] | None = None,
    dtype: str = "float32",
) -> Network:
    """Chain of dense layers as in Flux, weights from .npz or seeded at random.

    Args:
        layers: `Chain(Dense(5, 3, elu), Dense(3, 3))`, or a list of `{in, out, activation}`.
            `gelu` is Flux's in the first (the tanh form), PyTorch's in the second.
        weights: an .npz file with W1, b1, W2, b2, ...; None draws them at random.
        layout: of the file's matrices: "out_in" (Flux, PyTorch) or "in_out" (Keras, Flax).
        seed: of the random weights: Glorot uniform matrices, biases uniform in +-0.1.
        inputs: names of the inputs; None means x1, x2, ...
        outputs: names of the outputs; None means y1, y2, ...
        ranges: {input: [low, high]} where known.
        dtype: unused: the parameters take the dtype of the point.

    Raises:
        UsageError: naming each layer or array that does not fit.
    """
    del dtype
    if layout not in LAYOUTS:
        raise UsageError(f"network.layout must be {' or '.join(LAYOUTS)}; got '{layout}'")
    dense = parse_layers(layers)
    _check_memory(dense)
    arrays = _random_arrays(dense, seed) if weights is None else _load(weights, dense, layout)

    def function(x: jax.Array) -> jax.Array:
        for number, layer in enumerate(dense, start=1):
            matrix, bias = (jnp.asarray(arrays[f"{key}{number}"], x.dtype) for key in "Wb")
            x = ACTIVATIONS[layer.activation](matrix @ x + bias)
        return x

    text = f"Chain({', '.join(map(str, dense))})"
    return Network(
        name="chain",
        function=function,
        inputs=named("x", dense[0].inputs, inputs),
        outputs=named("y", dense[-1].outputs, outputs),
        digest=digest_of(text, arrays),
        ranges=checked_ranges(ranges),
        description=text,
    )


def parse_layers(layers: str | Sequence[str | Mapping[str, Any]]) -> list[Dense]:
    """Read the layers of a chain, in either notation.

    Text is Flux's, and so is what it calls activations; mappings take PyTorch's names.

    Raises:
        UsageError: naming each layer that is not a layer, and each pair that does not fit.
    """
    calls = _read_text(layers) if isinstance(layers, str) else _read_mappings(layers)
    problems = Problems()
    dense: list[Dense] = []
    for number, (arguments, text, flux) in enumerate(calls, start=1):
        sizes, activation = arguments[:2], arguments[2] if len(arguments) > 2 else "identity"
        name = canonical(activation, flux) if isinstance(activation, str) else None
        if (
            len(arguments) > 3
            or len(sizes) != 2
            or not all(type(size) is int and size > 0 for size in sizes)
        ):
            problems.add(
                f"network.layers: layer {number} needs two positive sizes, and perhaps an "
                f"activation: {text}"
            )
        elif name is None:
            problems.add(
                f"network.layers: layer {number} has no usual activation: '{activation}'"
                f"{closest(str(activation), ACTIVATIONS)}; there are {', '.join(ACTIVATIONS)}"
            )
        else:
            dense.append(Dense(sizes[0], sizes[1], name))
    if not problems:
        for number, (first, second) in enumerate(pairwise(dense), start=1):
            if first.outputs != second.inputs:
                problems.add(
                    f"network.layers: layer {number} gives {first.outputs} numbers, "
                    f"layer {number + 1} takes {second.inputs}"
                )
        if not dense:
            problems.add("network.layers is empty: give at least one Dense(inputs, outputs)")
    problems.check()
    return dense


# Of each layer: its arguments, what is written, and whether in Flux's notation.
_Calls = list[tuple[list[Any], str, bool]]


def _read_text(text: str) -> _Calls:
    usage = f"network.layers reads like Chain(Dense(5, 3, elu), Dense(3, 3)); got: {text}"
    try:
        # Flux also writes Dense(5 => 3, elu). Parsed, never evaluated.
        tree = ast.parse(text.strip().replace("=>", ","), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UsageError(usage) from error
    if isinstance(tree, ast.Call) and getattr(tree.func, "id", None) == "Chain":
        if tree.keywords:
            names = ", ".join(str(keyword.arg) for keyword in tree.keywords)
            raise UsageError(f"{usage}; layers have no names here: {names}")
        calls = tree.args
    else:
        calls = tree.elts if isinstance(tree, ast.Tuple | ast.List) else [tree]
    layers: _Calls = []
    for call in calls:
        if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "Dense":
            raise UsageError(f"{usage}; not a Dense layer: {ast.unparse(call)}")
        if {keyword.arg for keyword in call.keywords} - {"activation"}:
            raise UsageError(
                f"network.layers: layer {len(layers) + 1} has an option that is no activation: "
                f"{ast.unparse(call)}"
            )
        arguments = [
            node.value if isinstance(node, ast.Constant) else ast.unparse(node)
            for node in (*call.args, *(keyword.value for keyword in call.keywords))
        ]
        layers.append((arguments, ast.unparse(call), True))
    return layers


def _read_mappings(layers: Sequence[str | Mapping[str, Any]]) -> _Calls:
    calls: _Calls = []
    for number, layer in enumerate(layers, start=1):
        if isinstance(layer, str):
            calls += _read_text(layer)
            continue
        keys = {"in", "out", "activation"}
        if not isinstance(layer, Mapping) or not {"in", "out"} <= layer.keys() <= keys:
            raise UsageError(
                f"network.layers: layer {number} must have in, out and perhaps activation; "
                f"got {layer}"
            )
        activation = layer.get("activation") or "identity"
        calls.append(([layer["in"], layer["out"], activation], str(dict(layer)), False))
    return calls


def _random_arrays(dense: list[Dense], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {}
    for number, layer in enumerate(dense, start=1):
        limit = np.sqrt(6 / (layer.inputs + layer.outputs))  # Glorot & Bengio 2010, eq. 16
        arrays[f"W{number}"] = rng.uniform(-limit, limit, (layer.outputs, layer.inputs))
        arrays[f"b{number}"] = rng.uniform(-0.1, 0.1, layer.outputs)
    return arrays


def _load(path: str, dense: list[Dense], layout: str) -> dict[str, np.ndarray]:
    problems = Problems()
    arrays = {}
    expected: dict[str, tuple[int, ...]] = {}
    layer_of: dict[str, Dense] = {}
    for number, layer in enumerate(dense, start=1):
        matrix = (layer.outputs, layer.inputs)
        expected[f"W{number}"] = matrix if layout == "out_in" else matrix[::-1]
        expected[f"b{number}"] = (layer.outputs,)
        layer_of |= dict.fromkeys((f"W{number}", f"b{number}"), layer)
    with WeightFile(path) as file:
        for name, shape in expected.items():
            if name not in file.names:
                problems.add(
                    f"network.weights: {path} has no array '{name}' for {layer_of[name]}; "
                    f"it has {listed(file.names) or 'none'}"
                )
                continue
            header = problems.attempt(file.shape_and_dtype, name, math.prod(shape))
            if header is None:
                continue
            stored, dtype = header
            if stored != shape:
                problems.add(_shape_problem(path, name, stored, shape, layout))
                continue
            array = file.read(name) if np.issubdtype(dtype, np.floating) else None
            if array is None or not np.isfinite(array).all():
                problems.add(f"network.weights: '{name}' in {path} must hold finite floats")
            else:
                arrays[name] = array.T if name[0] == "W" and layout == "in_out" else array
        for name in sorted(set(file.names) - expected.keys()):
            problems.add(
                f"network.weights: '{name}' in {path} belongs to no layer of network.layers"
            )
    problems.check()
    return arrays


def _check_memory(dense: list[Dense]) -> None:
    """Check that this machine has memory for the parameters, before it is asked for.

    Raises:
        UsageError: if it has not.
    """
    needed = sum(layer.outputs * (layer.inputs + 1) for layer in dense) * _PARAMETER_BYTES
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > installed:
        raise UsageError(
            f"network.layers: its parameters need {size(needed)}, and this machine has "
            f"{size(installed)} of memory"
        )


def _shape_problem(path: str, name: str, shape: tuple, expected: tuple, layout: str) -> str:
    other = LAYOUTS[1 - LAYOUTS.index(layout)]
    transposed = len(shape) == 2 and shape == expected[::-1]
    mend = f"; set network.layout={other} if the file is laid out so" if transposed else ""
    return (
        f"network.weights: '{name}' in {path} has shape {shape}, expected {expected} "
        f"with network.layout={layout}{mend}"
    )
