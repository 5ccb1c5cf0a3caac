"""Which arrays of a state dict belong to which layer of a chain.

A state dict has names such as `net.0.weight`, as PyTorch, Equinox and Flax make them: what stands
before the last dot (or slash) is the module, what follows is the array.
"""

import re
from collections.abc import Mapping, Sequence

from hyperdiag.messages.errors import UsageError, listed

from ._layers import BIAS, MATRIX, MEAN, SCALE, SHIFT, VARIANCE, Dense, Parametric

Shape = tuple[int, ...]

# The last part of a name, and what it is for in a dense layer and in a normalization.
_DENSE = {
    **{"weight": MATRIX, "kernel": MATRIX, "w": MATRIX, "W": MATRIX},
    **{"bias": BIAS, "b": BIAS},
}
_NORMALIZATION = {
    **{"weight": SCALE, "scale": SCALE, "gamma": SCALE, "bias": SHIFT, "beta": SHIFT},
    **{"running_mean": MEAN, "mean": MEAN, "moving_mean": MEAN},
    **{"running_var": VARIANCE, "var": VARIANCE, "moving_variance": VARIANCE},
}
IN_OUT = ("kernel", "w")  # matrices by these names have the inputs first
_UNUSED = "num_batches_tracked"  # counts steps of training


def array_names(
    layers: Sequence[Parametric],
    shapes: Mapping[str, Shape],
    order: Sequence[str] | None,
    in_out: bool,
) -> tuple[list[dict[str, str]], set[str]]:
    """Return the names of each layer's arrays, and the names that belong to none.

    Modules of one shape must have names that differ in their numbers alone, which then say their
    order; else nobody could tell which is which.

    Args:
        layers: in the order in which they are computed.
        shapes: of the arrays, by name.
        order: the modules of the layers, in their order, where the names do not tell it.
        in_out: whether matrices called "weight" have the inputs first, too.

    Raises:
        UsageError: if the modules do not fit the layers, or their order is not clear.
    """
    modules = _modules(shapes)
    kinds = [_kind(layer) for layer in layers]
    if order is None:
        chosen = _by_shape(layers, {name: _shape(m, shapes, in_out) for name, m in modules.items()})
    else:
        if len(order) != len(layers) or not set(order) <= modules.keys():
            raise UsageError(
                f"network.weight_order must name the modules of the {len(layers)} layers that have "
                f"weights, in their order; it has {listed(order)}, the file has {listed(modules)}"
            )
        chosen = list(order)
    names = [
        {kind[leaf]: name for leaf, name in modules[module].items() if leaf in kind}
        for kind, module in zip(kinds, chosen, strict=True)
    ]
    used = {name for own in names for name in own.values()}
    return names, {name for name in shapes if name not in used and _leaf(name)[1] != _UNUSED}


def _kind(layer: Parametric) -> Mapping[str, str]:
    leaves = _DENSE if isinstance(layer, Dense) else _NORMALIZATION
    return {leaf: use for leaf, use in leaves.items() if use in layer.shapes}


def _leaf(name: str) -> tuple[str, str]:
    """Return a name's module and its last part."""
    parts = re.split(r"[./]", name)
    return ".".join(parts[:-1]), parts[-1]


def _modules(shapes: Mapping[str, Shape]) -> dict[str, dict[str, str]]:
    """Return {module: {last part: name}}."""
    modules: dict[str, dict[str, str]] = {}
    for name in shapes:
        module, leaf = _leaf(name)
        if leaf in _DENSE or leaf in _NORMALIZATION:
            # Flax keeps the statistics of a batch norm in a tree of their own.
            module = re.sub(r"^(params|batch_stats)\.", "", module)
            modules.setdefault(module, {})[leaf] = name
    return modules


def _shape(module: Mapping[str, str], shapes: Mapping[str, Shape], in_out: bool) -> Shape:
    """Return (outputs, inputs) of a module with a matrix, (size,) of any other one."""
    for leaf, use in _DENSE.items():
        if use == MATRIX and leaf in module and len(shapes[module[leaf]]) == 2:
            shape = shapes[module[leaf]]
            return shape[::-1] if leaf in IN_OUT or in_out else shape
    return next((shapes[module[leaf]] for leaf in _NORMALIZATION if leaf in module), ())


def _by_shape(layers: Sequence[Parametric], modules: Mapping[str, Shape]) -> list[str]:
    places: dict[Shape, list[int]] = {}
    for position, layer in enumerate(layers):
        shape = layer.shapes[MATRIX] if isinstance(layer, Dense) else (layer.size,)
        places.setdefault(shape, []).append(position)
    chosen: dict[int, str] = {}
    for shape, positions in places.items():
        names = sorted((name for name, own in modules.items() if own == shape), key=_natural)
        layer = layers[positions[0]]
        if len(names) != len(positions):
            has = ", ".join(f"{name} {list(own)}" for name, own in modules.items())
            raise UsageError(
                f"network.weights: network.layers has {len(positions)} of the size of {layer}, the "
                f"file has {len(names)}; its modules, with (outputs, inputs) or sizes: {has}"
            )
        if len({re.sub(r"\d+", "#", name) for name in names}) > 1:
            raise UsageError(
                f"network.weights: the modules {listed(names)} have one size, and their names do "
                "not tell their order; set network.weight_order=[...] to the modules of all layers "
                f"that have weights, in their order, of {listed(modules)}"
            )
        chosen |= zip(positions, names, strict=True)
    return [chosen[position] for position in range(len(layers))]


def _natural(name: str) -> list[int]:
    """Return what sorts names that differ in their numbers alone: 2 is before 10."""
    return [int(number) for number in re.findall(r"\d+", name)]
