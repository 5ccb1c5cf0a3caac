"""Support vector machines."""

from itertools import combinations
from typing import Any

import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import ML, operator
from .._values import cast
from ._scores import labelled, transformed


@operator("SVMRegressor", domain=ML)
def _(node: Node) -> Any:
    """The sum of c_s K(x, s) over the support vectors s, plus rho; of one class, its sign."""
    x, xp = cast(node[0], node.real), node.xp
    weights = _numbers(node, "coefficients")
    n_supports = node.get("n_supports", 0)
    if n_supports:
        vectors = _numbers(node, "support_vectors").reshape(n_supports, -1)
        sums = xp.matmul(_kernel(node, x, vectors), weights[:, None])
    else:
        sums = xp.matmul(x, weights[:, None])
    sums = sums + _numbers(node, "rho")[0]
    if node.get("one_class", 0):
        return xp.where(sums > 0, node.real.type(1), node.real.type(-1))
    return transformed(node, sums)


@operator("SVMClassifier", domain=ML)
def _(node: Node) -> Any:
    """Each pair of classes has a score, and votes for one of them; without support vectors, each
    class has one.

    Probabilities are Platt's, 1 / (1 + exp(a score + b)), for two classes alone: for more of them
    libsvm finds them by iterations that stop early, which have no exact derivatives.
    """
    x, xp = cast(node[0], node.real), node.xp
    classes = node.get("classlabels_ints") or node.get("classlabels_strings") or [0]
    counts = node.get("vectors_per_class")
    rho = _numbers(node, "rho")
    if not counts:
        weights = _numbers(node, "coefficients").reshape(len(classes), -1)
        scores = xp.matmul(x, weights.T) + rho[0]
        return labelled(node, xp.argmax(scores, axis=1), classes), _finished(node, scores)

    scores = (
        xp.matmul(
            _kernel(node, x, _numbers(node, "support_vectors").reshape(sum(counts), -1)),
            _pairs(node, counts),
        )
        + rho
    )
    pairs = list(combinations(range(len(counts)), 2))
    firsts, seconds = (np.eye(len(counts))[list(each)] for each in zip(*pairs, strict=True))
    votes = xp.where(scores[:, :, None] > 0, firsts, seconds).sum(axis=1)
    labels = labelled(node, xp.argmax(votes, axis=1), classes)
    if not node.get("prob_a"):
        return labels, _finished(node, scores)
    if len(counts) > 2:
        raise OnnxError(
            "probabilities of more than two classes are not computed for support vectors; train "
            "and export the model without probabilities"
        )
    slope, shift = _numbers(node, "prob_a"), _numbers(node, "prob_b")
    first = 0.5 - 0.5 * xp.tanh(0.5 * (scores * slope + shift))
    return labels, transformed(node, xp.concatenate([first, 1 - first], axis=1))


def _finished(node: Node, scores: Any) -> Any:
    """Return scores after their transformation; one score of two classes as two."""
    if scores.shape[1] == 1:
        scores = node.xp.concatenate([-scores, scores], axis=1)
    return transformed(node, scores)


def _pairs(node: Node, counts: list[int]) -> np.ndarray:
    """Return the weight of each support vector in the score of each pair of classes.

    The file has n - 1 rows of weights for n classes; a vector of class i has those against class j
    in row j - 1 if i < j, else in row j.
    """
    rows = _numbers(node, "coefficients").reshape(-1, sum(counts))
    ends = np.cumsum(counts)
    pairs = list(combinations(range(len(counts)), 2))
    weights = np.zeros((sum(counts), len(pairs)), node.real)
    for column, (i, j) in enumerate(pairs):
        of_i, of_j = (slice(ends[k] - counts[k], ends[k]) for k in (i, j))
        weights[of_i, column] = rows[j - 1, of_i]
        weights[of_j, column] = rows[i, of_j]
    return weights


def _kernel(node: Node, x: Any, vectors: np.ndarray) -> Any:
    """Return the kernel of each row of x with each support vector."""
    xp = node.xp
    name = node.get("kernel_type", "LINEAR")
    gamma, shift, degree = node.get("kernel_params") or (0.0, 0.0, 0.0)
    if name == "RBF":
        differences = x[:, None, :] - vectors
        return xp.exp(-gamma * xp.sum(differences * differences, axis=2))
    products = xp.matmul(x, vectors.T)
    if name == "LINEAR":
        return products
    if name == "POLY":
        return (gamma * products + shift) ** (int(degree) if degree == int(degree) else degree)
    if name == "SIGMOID":
        return xp.tanh(gamma * products + shift)
    raise OnnxError(f"there is no kernel '{name}'")


def _numbers(node: Node, name: str) -> np.ndarray:
    return np.asarray(node.get(name) or [], node.real)
