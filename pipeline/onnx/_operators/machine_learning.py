"""What classical machine learning has: scalers, linear models, encoders; no trees, no text."""

from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import ML, operator
from .._values import cast
from ._scores import labelled, transformed


@operator("Scaler", domain=ML)
def _(node: Node) -> Any:
    """(x - offset) * scale."""
    return (_real(node) - _numbers(node, "offset", [0.0])) * _numbers(node, "scale", [1.0])


@operator("Normalizer", domain=ML)
def _(node: Node) -> Any:
    """Each row divided by its largest absolute value, their sum, or its length; rows of 0 stay."""
    x, xp = _real(node), node.xp
    norm = node.get("norm", "MAX")
    if norm == "MAX":
        size = xp.max(xp.abs(x), axis=-1, keepdims=True)
    elif norm == "L1":
        size = xp.sum(xp.abs(x), axis=-1, keepdims=True)
    elif norm == "L2":
        square = xp.sum(x * x, axis=-1, keepdims=True)
        return x / xp.sqrt(xp.where(square == 0, 1, square))
    else:
        raise OnnxError(f"there is no norm '{norm}'")
    return x / xp.where(size == 0, 1, size)


@operator("Imputer", domain=ML)
def _(node: Node) -> Any:
    """Other numbers in the place of those that equal one number, or are none."""
    x, xp = node[0], node.xp
    if node.get("imputed_value_floats"):
        x, values = _real(node), _numbers(node, "imputed_value_floats", [])
        replaced = node.get("replaced_value_float", 0.0)
    else:
        values = np.asarray(node.get("imputed_value_int64s"), x.dtype)
        replaced = node.get("replaced_value_int64", 0)
    is_replaced = xp.isnan(x) if replaced != replaced else x == replaced
    return xp.where(is_replaced, values, x)


@operator("FeatureVectorizer", domain=ML)
def _(node: Node) -> Any:
    """Arrays side by side, each cut off, or filled with zeros, to the width given for it."""
    xp = node.xp
    arrays = [cast(value, node.real).reshape(-1, np.shape(value)[-1]) for value in node.inputs]
    widths = node.get("inputdimensions") or [array.shape[1] for array in arrays]
    return xp.concatenate(
        [
            xp.pad(array[:, :width], [(0, 0), (0, max(width - array.shape[1], 0))])
            for array, width in zip(arrays, widths, strict=True)
        ],
        axis=1,
    )


@operator("LinearRegressor", domain=ML)
def _(node: Node) -> Any:
    weights = _numbers(node, "coefficients", []).reshape(node.get("targets", 1), -1)
    sums = node.xp.matmul(_rows(node), weights.T) + _numbers(node, "intercepts", [0.0])
    return transformed(node, sums)


@operator("LinearClassifier", domain=ML)
def _(node: Node) -> Any:
    """One score for each class; of two classes with one score between them, the other is its
    negative."""
    x, xp = _rows(node), node.xp
    weights = _numbers(node, "coefficients", []).reshape(-1, x.shape[1])
    scores = xp.matmul(x, weights.T) + _numbers(node, "intercepts", [0.0])
    classes = node.get("classlabels_ints") or node.get("classlabels_strings") or []
    if scores.shape[1] == 1 and len(classes) == 2:
        scores = xp.concatenate([-scores, scores], axis=1)
    scores = transformed(node, scores)
    if scores.shape[1] == 1:
        threshold = 0 if node.get("post_transform", "NONE") == "NONE" else 0.5
        return labelled(node, (scores[:, 0] >= threshold).astype(np.int32), [0, *classes]), scores
    return labelled(node, xp.argmax(scores, axis=1), classes), scores


@operator("OneHotEncoder", domain=ML)
def _(node: Node) -> Any:
    """1 at the place of the number among those listed, on a new last axis."""
    categories = node.get("cats_int64s")
    if not categories:
        raise OnnxError(_TEXT)
    whole = cast(node[0], np.dtype(np.int64))
    return cast(whole[..., None] == np.asarray(categories), node.real)


@operator("LabelEncoder", domain=ML, since=2)
def _(node: Node) -> Any:
    """The value that belongs to a number; of a key that is there twice, the last."""
    keys = _first(node, "keys_tensor", "keys_int64s", "keys_floats")
    values = _first(node, "values_tensor", "values_int64s", "values_floats")
    if keys is None or values is None:
        raise OnnxError(_TEXT)
    xp, keys, values = node.xp, np.ravel(keys)[::-1], np.ravel(values)[::-1]
    default = node.get("default_tensor")
    if default is not None:
        default = default.reshape(())
    elif np.issubdtype(values.dtype, np.floating):
        default = node.real.type(node.get("default_float", -0.0))
    else:
        default = values.dtype.type(node.get("default_int64", -1))
    x = node[0][..., None]
    equal = x == keys
    if np.issubdtype(keys.dtype, np.floating):
        equal = equal | (xp.isnan(x) & np.isnan(keys))
    picked = xp.take(values, xp.argmax(equal, axis=-1))
    return xp.where(xp.any(equal, axis=-1), picked, default)


@operator("ArrayFeatureExtractor", domain=ML)
def _(node: Node) -> Any:
    """Columns; of a vector as a matrix of one row."""
    values, indices = node[0], node[1].reshape(-1)
    picked = node.xp.take(values, indices, axis=-1)
    return picked[None] if picked.ndim == 1 else picked


@operator("Binarizer", domain=ML)
def _(node: Node) -> Any:
    """1 where x is above a threshold, 0 elsewhere."""
    return cast(node[0] > node.get("threshold", 0.0), node[0].dtype)


@operator("ZipMap", domain=ML)
def _(node: Node) -> Any:
    """The scores as an array, without the names that the operator gives them."""
    return node[0]


@operator("CategoryMapper", "CastMap", "DictVectorizer", domain=ML)
def _(node: Node) -> Any:
    raise OnnxError(_TEXT)


@operator("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", domain=ML)
def _(node: Node) -> Any:
    raise OnnxError(
        "the derivatives of trees are zero wherever they exist, so that there is nothing to "
        "compute; use a model that is smooth"
    )


_TEXT = "text is not computed; export the model with numbers for its categories"


def _real(node: Node) -> Any:
    return cast(node[0], node.real)


def _rows(node: Node) -> Any:
    """Return the input as a matrix: a vector is one row."""
    x = _real(node)
    return x[None] if x.ndim == 1 else x


def _numbers(node: Node, name: str, default: list[float]) -> np.ndarray:
    return np.asarray(node.get(name) or default, node.real)


def _first(node: Node, *names: str) -> np.ndarray | None:
    """Return the first attribute that is there, real numbers in the run's dtype."""
    for name in names:
        if node.get(name) is not None:
            values = np.asarray(node.get(name))
            return values.astype(node.real) if values.dtype.kind == "f" else values
    return None
