"""A network from a `.keras` file, as Keras 3 writes them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import numerics, reason
from hyperdiag.messages.errors import UsageError

from ...digest import digest_of
from ...extra import needs
from ...network import Network, checked_ranges, known_moments, named
from ..tensor_names import given_output_names, input_names, numbered
from .config import checked, in_dtype
from .facts import dtypes, facts
from .refusal import KerasError

if TYPE_CHECKING:
    from .model import Tensor


def build(
    path: str,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    ranges: dict[str, Any] | None = None,
    compare: bool = True,
    dtype: str = "float32",
) -> Network:
    """A model of a Keras 3 file: network.path=model.keras (extra `keras`).

    Args:
        path: of the file.
        inputs: a name for each number that goes in; None: those of the model, with 1, 2, ...
        outputs: which of the model's outputs are taken, by their names there; or a name for each
            number of all of them.
        ranges: {input: [low, high]} where known.
        compare: whether its values are compared with Keras' own.
        dtype: of the run: all layers compute in it, whatever type each has in the file.

    Raises:
        UsageError: if the file is no model of Keras' own layers, or a name does not fit it.
    """
    with needs("keras", "keras", "h5py"):
        from .archive import read_keras_file
        from .model import Model
    file = Path(path).expanduser().absolute()
    try:
        stored = read_keras_file(file)
        config = checked(stored.config)
        model = Model(stored, in_dtype(config, dtype), dtype)
        chosen = _chosen(model.outputs, outputs)
        if not chosen:
            raise KerasError("none of its outputs is of real numbers")
        parts = model.parts(chosen)
    except KerasError as error:
        raise UsageError(f"network.path={path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"network.path={path}: its description of the model is damaged: {reason(error)}"
        ) from error
    point = jax.ShapeDtypeStruct((model.n_inputs,), dtype)
    with numerics(dtype):
        sizes = [result.shape for result in jax.eval_shape(parts, point)]
    results = [replace(model.outputs[at], shape=s) for at, s in zip(chosen, sizes, strict=True)]
    own, half = dtypes(config)

    def library_values(points: np.ndarray) -> np.ndarray:
        as_saved = model
        if half or own != dtype:
            as_saved = Model(read_keras_file(file), in_dtype(config, None), own)
        return as_saved.library_values(points, chosen)

    names = input_names(_numbers(model.inputs, "x"), inputs)
    whole = [tensor.whole for tensor in model.inputs for _ in range(tensor.size)]
    scaled = zip(names, model.moments, whole, strict=True)
    return Network(
        name="keras",
        function=lambda x: jnp.concatenate(parts(x)),
        inputs=names,
        outputs=_output_names(results, outputs),
        digest=digest_of(f"keras {chosen} {json.dumps(config, sort_keys=True)}", stored.arrays),
        ranges=checked_ranges(ranges),
        description=file.name,
        facts=facts(config, model.n_parameters),
        not_differentiated=tuple(at for at, skip in zip(names, whole, strict=True) if skip),
        moments=known_moments({at: pair for at, pair, skip in scaled if not skip}),
        library_values=library_values if compare else None,
        library_epsilon=float(jnp.finfo(half or "float32").eps),
    )


def _numbers(tensors: "Sequence[Tensor]", letter: str) -> list[str]:
    """Return the names of all numbers: a tensor's own where it has one, else with 1, 2, ...

    A single tensor that Keras only numbered is called as in other networks, x or y.
    """
    if len(tensors) == 1 and tensors[0].numbered:
        return list(named(letter, tensors[0].size, None))
    return [name for tensor in tensors for name in numbered(tensor.name, tensor.size)]


def _chosen(tensors: "Sequence[Tensor]", wanted: list[str] | None) -> list[int]:
    """Return which outputs are taken, by their numbers: of real numbers, and named or all."""
    real = {tensor.name: at for at, tensor in enumerate(tensors) if "float" in tensor.dtype}
    if wanted and set(wanted) <= real.keys():
        return [real[name] for name in wanted]
    return list(real.values())


def _output_names(tensors: "Sequence[Tensor]", wanted: list[str] | None) -> tuple[str, ...]:
    """Return the names of the numbers of the outputs that are taken."""
    own = [tensor.name for tensor in tensors]
    numbers = _numbers(tensors, "y")
    if not wanted:
        return tuple(numbers)
    if wanted == own:
        return tuple(_numbers([replace(tensor, numbered=False) for tensor in tensors], "y"))
    return given_output_names(own, len(numbers), wanted)
