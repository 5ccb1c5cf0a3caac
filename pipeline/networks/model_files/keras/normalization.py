"""What a Keras model tells of the data that it was trained on: its normalization of inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def input_moments(layers: Sequence[Any], tensors: Sequence[Any]) -> list[tuple[float, float]]:
    """Return (mean, standard deviation) of each number of the inputs; nan where it is not known.

    Args:
        layers: of the model; those of the class Normalization are looked at.
        tensors: its inputs.
    """
    normalizations = [layer for layer in layers if type(layer).__name__ == "Normalization"]
    pairs: list[tuple[float, float]] = []
    for tensor in tensors:
        taken = (layer for layer in normalizations if _takes(layer, tensor))
        layer = next(taken, None)
        shape = (2, *tensor.shape[1:])
        moments = np.full(shape, np.nan)
        if layer is not None:
            moments[0] = np.asarray(layer.mean)[0]
            moments[1] = np.sqrt(np.asarray(layer.variance)[0])
        pairs += zip(*moments.reshape(2, -1).tolist(), strict=True)
    return pairs


def _takes(layer: Any, tensor: Any) -> bool:
    try:
        return layer.input is tensor and not layer.invert
    except (AttributeError, ValueError):  # of a layer that is used more than once, Keras has none
        return False
