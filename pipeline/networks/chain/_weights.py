"""The arrays of a chain: from an `.npz` file, from a state dict, or drawn at random."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hyperdiag.messages.errors import Problems, UsageError, listed

from ..safetensors_file import SafetensorsFile
from ..weight_file import WeightFile
from ._layers import BIAS, MATRIX, SCALE, SHIFT, VARIANCE, Dense, Parametric, names_of
from ._state_dict import IN_OUT, array_names

LAYOUTS = ("out_in", "in_out")
_SUFFIX = ".safetensors"
_MOST_SCALING = 1 << 20  # numbers
# What a module may be made without: a bias, and what a normalization scales and shifts by.
_ABSENT = {BIAS: np.zeros, SHIFT: np.zeros, SCALE: np.ones}


@dataclass(frozen=True)
class Weights:
    """Arrays of a chain.

    Attributes:
        layers: of each parametric layer, by what they are for.
        others: that scaling names.
    """

    layers: list[dict[str, np.ndarray]]
    others: dict[str, np.ndarray]


def random_weights(layers: Sequence[Parametric], seed: int) -> Weights:
    """Return Glorot uniform matrices, biases uniform in +-0.1, and normalizations of no effect."""
    rng = np.random.default_rng(seed)
    result = []
    for layer in layers:
        if isinstance(layer, Dense):
            limit = np.sqrt(6 / (layer.inputs + layer.outputs))  # Glorot & Bengio 2010, eq. 16
            matrix = rng.uniform(-limit, limit, (layer.outputs, layer.inputs))
            result.append({MATRIX: matrix, BIAS: rng.uniform(-0.1, 0.1, layer.outputs)})
        else:
            result.append(
                {
                    key: np.ones(shape) if key in (SCALE, VARIANCE) else np.zeros(shape)
                    for key, shape in layer.shapes.items()
                }
            )
    return Weights(result, {})


def load_weights(
    path: str,
    layers: Sequence[Parametric],
    layout: str,
    order: Sequence[str] | None,
    others: Iterable[str],
) -> Weights:
    """Read the arrays of the layers, and others by name.

    Args:
        path: of an `.npz` file, or a `.safetensors` one.
        layers: in the order in which they are computed.
        layout: of the matrices, out_in or in_out.
        order: the modules of the layers, where a state dict's names do not tell their order.
        others: names of further arrays.

    Raises:
        UsageError: naming each array that is not there, does not fit, or belongs to no layer.
    """
    wanted = list(others)
    problems = Problems()
    if path.endswith(_SUFFIX):
        with SafetensorsFile(path) as tensors:
            shapes = {name: tensors.shape(name) for name in tensors.names if name not in wanted}
            names, unused = array_names(layers, shapes, order, layout == "in_out")
            weights = _read(tensors, path, list(zip(layers, names, strict=True)), layout, problems)
            others_read = _read_others(tensors, path, wanted, problems)
    else:
        if order is not None:
            raise UsageError(
                f"network.weight_order is for a {_SUFFIX} file; {path} has the names W1, b1, ..."
            )
        with WeightFile(path) as file:
            names = names_of(layers)
            used = {*wanted, *(name for own in names for name in own.values())}
            unused = set(file.names) - used
            weights = _read(file, path, list(zip(layers, names, strict=True)), layout, problems)
            others_read = _read_others(file, path, wanted, problems)
    for name in sorted(unused):
        problems.add(f"network.weights: '{name}' in {path} belongs to no layer of network.layers")
    problems.check()
    return Weights(weights, others_read)


def _read(
    file: WeightFile | SafetensorsFile,
    path: str,
    layers: Sequence[tuple[Parametric, Mapping[str, str]]],
    layout: str,
    problems: Problems,
) -> list[dict[str, np.ndarray]]:
    """Return the arrays of layers, of each of which there are the names of its arrays."""
    loaded: list[dict[str, np.ndarray]] = []
    for layer, names in layers:
        loaded.append({})
        for key, shape in layer.shapes.items():
            name = names.get(key)
            if name is None and key in _ABSENT:
                loaded[-1][key] = _ABSENT[key](shape)
                continue
            if name is None or name not in file.names:
                problems.add(
                    f"network.weights: {path} has no array '{name or key}' for {layer}; "
                    f"it has {listed(file.names) or 'none'}"
                )
                continue
            turned = key == MATRIX and (name.endswith(IN_OUT) or layout == "in_out")
            expected = shape[::-1] if turned else shape
            stored = problems.attempt(file.shape, name, math.prod(shape))
            if stored is None:
                continue
            if stored != expected:
                problems.add(_shape_problem(path, name, stored, expected, layout))
                continue
            array = _finite(file, path, name, problems)
            loaded[-1][key] = array.T if turned else array
    return loaded


def _read_others(
    file: WeightFile | SafetensorsFile, path: str, names: Sequence[str], problems: Problems
) -> dict[str, np.ndarray]:
    read = {}
    for name in names:
        if name not in file.names:
            problems.add(
                f"network.weights: {path} has no array '{name}', which a scaling names; it has "
                f"{listed(file.names) or 'none'}"
            )
        elif problems.attempt(file.shape, name, _MOST_SCALING) is not None:
            read[name] = _finite(file, path, name, problems)
    return read


def _finite(
    file: WeightFile | SafetensorsFile, path: str, name: str, problems: Problems
) -> np.ndarray:
    array = file.read(name)
    if not np.isfinite(array).all():
        problems.add(f"network.weights: '{name}' in {path} must hold finite floats")
    return array


def _shape_problem(path: str, name: str, shape: tuple, expected: tuple, layout: str) -> str:
    other = LAYOUTS[1 - LAYOUTS.index(layout)]
    transposed = len(shape) == 2 and shape == expected[::-1]
    mend = f"; set network.layout={other} if the file is laid out so" if transposed else ""
    return (
        f"network.weights: '{name}' in {path} has shape {shape}, expected {expected} "
        f"with network.layout={layout}{mend}"
    )
