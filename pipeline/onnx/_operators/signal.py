"""Fourier transforms, and the weights of the bands that people hear.

A transform is the product with a constant matrix: exact, linear, and in real numbers throughout.
"""

from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, dtype_of
from .shapes import find_axis


def _transform(
    node: Node, signal: Any, axis: int, length: int, inverse: bool, onesided: bool
) -> Any:
    """Return the discrete Fourier transform of a signal along an axis.

    Args:
        node: whose operator it is.
        signal: its last axis is the real part, or that and the imaginary part.
        axis: of the signal, which is cut, or lengthened by zeros, to the length.
        length: of the transform.
        inverse: whether it is the inverse one.
        onesided: whether the half of the spectrum that mirrors the other is left out; the inverse
            transform then takes such a spectrum and returns a real signal.
    """
    shape = np.shape(signal)
    if shape[-1] not in (1, 2):
        raise OnnxError("the last axis of a signal has its real and imaginary part, or the first")
    half = length // 2 + 1
    n_in = min(shape[axis], half if onesided and inverse else length)
    n_out = half if onesided and not inverse else length
    check_size((n_in, n_out, 4))
    signal = signal[(slice(None),) * axis + (slice(n_in),)]
    matrix = _matrix(n_in, n_out, length, inverse)
    if onesided and inverse:
        twice = (np.arange(n_in) > 0) & (2 * np.arange(n_in) != length)
        matrix = (matrix * np.where(twice, 2.0, 1.0)[:, None, None, None])[..., :1]
    matrix = matrix[:, : shape[-1]].astype(node.real)
    transformed = node.xp.tensordot(signal, matrix, ([axis, len(shape) - 1], [0, 1]))
    return node.xp.moveaxis(transformed, -2, axis)


def _matrix(n_in: int, n_out: int, length: int, inverse: bool) -> np.ndarray:
    """Return the weights (in, its part, out, its part) of a transform, part 0 being the real one.

    From exp(-2 pi i j k / n), in the inverse exp(2 pi i j k / n) / n.
    """
    turns = np.outer(np.arange(n_in), np.arange(n_out)) % length
    angles = 2 * np.pi / length * turns
    cosine = np.cos(angles)
    sine = np.sin(angles) if inverse else -np.sin(angles)
    matrix = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)
    return matrix / length if inverse else matrix


@operator("DFT")
def _(node: Node) -> Any:
    """The axis was an attribute before opset 20, and is an input since."""
    signal = node[0]
    rank = np.ndim(signal)
    if node.opset < 20:
        axis = find_axis(node.get("axis", 1), rank)
    else:
        axis = find_axis(int(node.static(2, np.array(-2)).reshape(())), rank)
    inverse, onesided = bool(node.get("inverse", 0)), bool(node.get("onesided", 0))
    if onesided and not inverse and np.shape(signal)[-1] != 1:
        raise OnnxError("a one-sided spectrum is that of a real signal, and this one is complex")
    size = np.shape(signal)[axis]
    default = 2 * (size - 1) if onesided and inverse else size
    length = int(node.static(1, np.array(default)).reshape(()))
    return _transform(node, signal, axis, length, inverse, onesided)


@operator("STFT")
def _(node: Node) -> Any:
    """The transforms of the frames that a window meets on its way along the signal."""
    signal, window, xp = node[0], node.get_input(2), node.xp
    size, parts = np.shape(signal)[1:]
    default = size if window is None else np.shape(window)[0]
    length = int(node.static(3, np.array(default)).reshape(()))
    step = int(node.static(1).reshape(()))
    n = (size - length) // step + 1
    check_size((np.shape(signal)[0], n, length, parts))
    index = step * np.arange(n)[:, None] + np.arange(length)
    frames = signal[:, index]
    if window is not None:
        frames = frames * xp.reshape(window, (-1, 1))
    onesided = bool(node.get("onesided", 1)) and parts == 1
    return _transform(node, frames, 2, length, False, onesided)


@operator("MelWeightMatrix")
def _(node: Node) -> np.ndarray:
    """Triangles over the bins of a spectrum, equally far from each other on the mel scale.

    mel(f) = 2595 log10(1 + f / 700), by https://onnx.ai/onnx/operators/onnx__MelWeightMatrix.html.
    """
    n_bands, length, rate = (int(node.static(index).reshape(())) for index in range(3))
    edges = np.array([float(node.static(index).reshape(())) for index in (3, 4)])
    low, high = 2595 * np.log10(1 + edges / 700)
    n_bins, _ = check_size((length // 2 + 1, n_bands))
    mels = low + (high - low) / (n_bands + 2) * np.arange(n_bands + 2)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    places = np.floor((length + 1) * hertz / rate)
    first, peak, last = places[:-2], places[1:-1], places[2:]
    bins = np.arange(n_bins)[:, None]
    rising = (bins - first) / np.maximum(peak - first, 1)
    falling = (last - bins) / np.maximum(last - peak, 1)
    weights = np.where(bins < peak, np.maximum(rising, 0), np.maximum(falling, 0))
    weights = np.where(bins == peak, 1.0, weights)
    return cast(weights, dtype_of(node.get("output_datatype", 1), node.real))
