"""A network from layers, weights and scaling that configuration names."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
from pydantic import Field

from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.wording import counted, size

from ..digest import digest_of
from ..facts import kinks_at
from ..network import Network, checked_ranges, named
from ._layers import Layer, Parametric, apply_layers, ends, kinked, names_of, parametric
from ._notation import parse_layers
from ._scaling import Scaling, named_arrays, scaling
from ._weights import LAYOUTS, Weights, load_weights, random_weights

_PARAMETER_BYTES = 8  # float64, in which they are kept


def build(
    layers: str | Sequence[str | Mapping[str, Any]],
    weights: str | None = None,
    layout: str = "out_in",
    weight_order: Sequence[str] | None = None,
    input_scaling: Mapping[str, Any] | None = None,
    output_scaling: Mapping[str, Any] | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    ranges: Mapping[str, Sequence[float]] | None = None,
    dtype: str = "float32",
) -> Network:
    """Chain of layers as in Flux, weights from .npz, from .safetensors or seeded at random.

    Args:
        layers: `Chain(Dense(5, 3, elu), Dense(3, 3))`, or a list of `{in, out, activation}`; with
            LayerNorm, RMSNorm, BatchNorm and SkipConnection, too. `gelu` is Flux's in the first
            (the tanh form), PyTorch's in the second.
        weights: an .npz file with W1, b1, W2, b2, ..., or a state dict as .safetensors; None draws
            them at random.
        layout: of the file's matrices: "out_in" (Flux, PyTorch, Equinox) or "in_out" (Keras, Flax).
        weight_order: the modules of a state dict, where their names do not tell their order.
        input_scaling: {mean, scale} or {min, max} of the inputs: numbers, or arrays of the file.
        output_scaling: likewise of the outputs.
        seed: of the random weights: Glorot uniform matrices, biases uniform in +-0.1.
        inputs: names of the inputs; None means x1, x2, ...
        outputs: names of the outputs; None means y1, y2, ...
        ranges: {input: [low, high]} where known; min and max of the scaling are known.
        dtype: unused: the parameters take the dtype of the point.

    Raises:
        UsageError: naming each layer or array that does not fit.
    """
    del dtype
    if layout not in LAYOUTS:
        raise UsageError(f"network.layout must be {' or '.join(LAYOUTS)}; got '{layout}'")
    parsed = parse_layers(layers)
    with_arrays = parametric(parsed)
    sizes = [sized for sized in map(ends, parsed) if sized]
    if not sizes:
        raise UsageError("network.layers has activations alone: give at least one Dense layer")
    _check_memory(with_arrays)
    if weights is None and weight_order is not None:
        raise UsageError("network.weight_order needs the file that it is of: network.weights=...")
    if weights is None:
        loaded = random_weights(with_arrays, seed)
    else:
        others = [*named_arrays(input_scaling), *named_arrays(output_scaling)]
        loaded = load_weights(weights, with_arrays, layout, weight_order, others)
    first = scaling("network.input_scaling", input_scaling, loaded.others, sizes[0][0])
    last = scaling("network.output_scaling", output_scaling, loaded.others, sizes[-1][1])

    def function(x: jax.Array) -> jax.Array:
        z = apply_layers(parsed, x if first is None else first.scaled(x), iter(loaded.layers))
        return z if last is None else last.raw(z)

    text = f"Chain({', '.join(map(str, parsed))})"
    names = named("x", sizes[0][0], inputs)
    return Network(
        name="chain",
        function=function,
        inputs=names,
        outputs=named("y", sizes[-1][1], outputs),
        digest=_digest(text, with_arrays, loaded, {"input": first, "output": last}),
        ranges={**(first.ranges(names) if first else {}), **checked_ranges(ranges)},
        moments=first.moments(names) if first else {},
        description=text,
        facts=_facts(with_arrays, parsed),
    )


def _facts(with_arrays: Sequence[Parametric], parsed: Sequence[Layer]) -> tuple[str, ...]:
    numbers = sum(math.prod(shape) for layer in with_arrays for shape in layer.shapes.values())
    return counted(numbers, "parameter"), *kinks_at(list(kinked(parsed)))


def _digest(
    text: str,
    layers: Sequence[Parametric],
    weights: Weights,
    scalings: Mapping[str, Scaling | None],
) -> str:
    arrays = {
        name: own[key]
        for own, names in zip(weights.layers, names_of(layers), strict=True)
        for key, name in names.items()
    }
    for what, scaled in scalings.items():
        if scaled is not None:
            arrays |= {f"{what} {name}": array for name, array in scaled.arrays.items()}
    return digest_of(text, arrays)


def _check_memory(layers: Sequence[Layer]) -> None:
    """Check that this machine has memory for the parameters, before it is asked for.

    Raises:
        UsageError: if it has not.
    """
    numbers = sum(math.prod(s) for layer in parametric(layers) for s in layer.shapes.values())
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if numbers * _PARAMETER_BYTES > installed:
        raise UsageError(
            f"network.layers: its parameters need {size(numbers * _PARAMETER_BYTES)}, and this "
            f"machine has {size(installed)} of memory"
        )
