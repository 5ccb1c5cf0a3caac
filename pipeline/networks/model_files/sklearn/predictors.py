"""Regressors and classifiers of scikit-learn as functions of one point."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .fitted import Fitted, numbers
from .kernels import gaussian_process_kernel, kernel_by_name
from .names import LINEAR_CLASSIFIERS, LINEAR_REGRESSORS
from .scalers import Map

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda x: x,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "softmax": jax.nn.softmax,
    "tanh": jnp.tanh,
}
_SVM_KERNELS = ("linear", "poly", "rbf", "sigmoid")


@dataclass(frozen=True)
class Scores:
    """What a classifier computes of its classes.

    Attributes:
        function: of one point, (n,) to (m,).
        method: of the library that computes the same.
        names: of the m numbers.
    """

    function: Map
    method: str
    names: tuple[str, ...]


def regressor(estimator: Fitted) -> Map | None:
    """Return what a regressor predicts; None if it is none of those known here.

    Raises:
        SkopsError: if something of it is not known, or missing.
    """
    if estimator.name in LINEAR_REGRESSORS:
        return _linear(estimator)
    function = {
        "CCA": _least_squares,
        "GammaRegressor": _generalized,
        "GaussianProcessRegressor": _gaussian_process,
        "KernelRidge": _kernel_ridge,
        "MLPRegressor": _perceptron,
        "NuSVR": _support_vectors,
        "PLSCanonical": _least_squares,
        "PLSRegression": _least_squares,
        "PoissonRegressor": _generalized,
        "SVR": _support_vectors,
        "TweedieRegressor": _generalized,
    }.get(estimator.name)
    return None if function is None else function(estimator)


def classifier(estimator: Fitted) -> Scores | None:
    """Return a classifier's probabilities, or its decision function where it has none.

    None if it is none of those known here.

    Raises:
        SkopsError: if something of it is not known, or missing.
    """
    if estimator.name in LINEAR_CLASSIFIERS:
        return _linear_classifier(estimator)
    if estimator.name in ("SVC", "NuSVC"):
        return _support_classifier(estimator)
    if estimator.name == "MLPClassifier":
        function, classes = _perceptron(estimator), class_names(estimator)
        if estimator.get("out_activation_") == "softmax":
            return probabilities(function, classes)
        if len(classes) != 2:
            raise estimator.refuse("several labels at once")
        return probabilities(function, classes)
    if estimator.name in ("GaussianNB", "QuadraticDiscriminantAnalysis"):
        posterior = _naive_bayes if estimator.name == "GaussianNB" else _quadratic
        logs, classes = posterior(estimator), class_names(estimator)
        first = 1 if len(classes) == 2 else 0
        return probabilities(lambda x: jax.nn.softmax(logs(x))[first:], classes)
    return None


def class_names(estimator: Fitted) -> list[str]:
    """Return the names of a classifier's classes.

    Raises:
        SkopsError: if it has not two or more.
    """
    classes = estimator.get("classes_")
    if not isinstance(classes, np.ndarray | list) or np.ndim(classes) != 1 or len(classes) < 2:
        raise estimator.damaged("classes_")
    return [str(each) for each in classes]


def probabilities(function: Map, classes: list[str]) -> Scores:
    """Return the probabilities of classes; of two classes, that of the second alone.

    That of the first is 1 less that of the second, and its derivatives are their negatives.
    """
    names = classes[1:] if len(classes) == 2 else classes
    return Scores(function, "predict_proba", tuple(f"proba_{name}" for name in names))


def _decisions(function: Map, classes: list[str]) -> Scores:
    names = ["decision"] if len(classes) == 2 else [f"decision_{name}" for name in classes]
    return Scores(function, "decision_function", tuple(names))


def _linear(estimator: Fitted) -> Map:
    weights = estimator.array("coef_", 1, 2)
    weights = np.atleast_2d(weights).T
    shift = np.zeros(1)
    if estimator.has("intercept_"):
        shift = estimator.array("intercept_", 0, 1).reshape(-1)
    return lambda x: x @ weights + shift


def _linear_classifier(estimator: Fitted) -> Scores:
    scores, classes = _linear(estimator), class_names(estimator)
    name = estimator.name
    if name.startswith("LogisticRegression") or name == "LinearDiscriminantAnalysis":
        if len(classes) == 2:
            return probabilities(lambda x: jax.nn.sigmoid(scores(x)), classes)
        return probabilities(lambda x: jax.nn.softmax(scores(x)), classes)
    if name == "SGDClassifier" and estimator.get("loss") == "log_loss":
        if len(classes) == 2:
            return probabilities(lambda x: jax.nn.sigmoid(scores(x)), classes)

        def shares(x: jax.Array) -> jax.Array:
            each = jax.nn.sigmoid(scores(x))
            return each / jnp.sum(each)

        return probabilities(shares, classes)
    if name == "SGDClassifier" and estimator.get("loss") == "modified_huber":
        raise estimator.refuse("the loss modified_huber")
    return _decisions(scores, classes)


def _generalized(estimator: Fitted) -> Map:
    """A linear model behind a link: of TweedieRegressor what it names, else the logarithm."""
    linear = _linear(estimator)
    link = "log"
    if estimator.name == "TweedieRegressor":
        link = estimator.get("link")
        if link == "auto":
            link = "identity" if estimator.number("power") <= 0 else "log"
    if link == "identity":
        return linear
    if link != "log":
        raise estimator.refuse(f"the link {str(link)[:40]}")
    return lambda x: jnp.exp(linear(x))


def _least_squares(estimator: Fitted) -> Map:
    mean, weights = estimator.array("_x_mean", 1), estimator.array("coef_", 2).T
    shift = estimator.array("intercept_", 1)
    return lambda x: (x - mean) @ weights + shift


def _perceptron(estimator: Fitted) -> Map:
    names = [estimator.get("activation"), estimator.get("out_activation_")]
    for name in names:
        if name not in _ACTIVATIONS:
            raise estimator.refuse(f"the activation {str(name)[:40]}")
    if names[0] == "relu":
        estimator.file.kinks.append(f"{estimator}: relu")
    hidden, last = (_ACTIVATIONS[name] for name in names)
    layers = []
    for attribute, axes in (("coefs_", 2), ("intercepts_", 1)):
        values = estimator.get(attribute)
        if not isinstance(values, list) or not values:
            raise estimator.damaged(attribute)
        layers.append([numbers(each, f"{attribute} of {estimator}", axes) for each in values])
    if len(layers[0]) != len(layers[1]):
        raise estimator.damaged("intercepts_")

    def function(x: jax.Array) -> jax.Array:
        final = len(layers[0]) - 1
        for at, (weights, shift) in enumerate(zip(*layers, strict=True)):
            x = (last if at == final else hidden)(x @ weights + shift)
        return x

    return function


def _gaussian_process(estimator: Fitted) -> Map:
    points, weights = estimator.array("X_train_", 2), estimator.array("alpha_", 1, 2)
    kernel = gaussian_process_kernel(estimator.fitted("kernel_"), points)
    mean = estimator.array("_y_train_mean", 0, 1).reshape(-1)
    width = estimator.array("_y_train_std", 0, 1).reshape(-1)
    weights = weights.reshape(len(weights), -1)
    return lambda x: kernel(x) @ weights * width + mean


def _kernel_ridge(estimator: Fitted) -> Map:
    gamma = estimator.number("gamma") if estimator.has("gamma") else None
    kernel = kernel_by_name(estimator, estimator.array("X_fit_", 2), gamma)
    weights = estimator.array("dual_coef_", 1, 2)
    weights = weights.reshape(len(weights), -1)
    return lambda x: kernel(x) @ weights


def _support_vectors(estimator: Fitted) -> Map:
    kernel, weights = _machine(estimator)
    if len(weights) != 1:
        raise estimator.damaged("dual_coef_")
    shift = estimator.array("intercept_", 1)
    return lambda x: kernel(x) @ weights.T + shift


def _machine(estimator: Fitted) -> tuple[Map, np.ndarray]:
    """Return the kernel of a support vector machine, and the weights (rows, vectors) as trained.

    Raises:
        SkopsError: if lengths do not fit one another: the library itself does not look.
    """
    if estimator.get("kernel") not in _SVM_KERNELS or estimator.get("_sparse"):
        raise estimator.refuse(f"the kernel {str(estimator.get('kernel'))[:40]}, or sparse rows")
    vectors, weights = estimator.array("support_vectors_", 2), estimator.array("_dual_coef_", 2)
    if estimator.has("_impl"):  # which machine it is, the class says
        raise estimator.damaged("_impl")
    count = len(vectors)
    per_class = estimator.array("_n_support", 1)
    support = estimator.array("support_", 1)
    is_regressor = estimator.name.endswith("SVR")
    classes = 2 if is_regressor else len(class_names(estimator))
    # Of a regressor the library keeps a second number, which is not used.
    fits = per_class[0] if is_regressor and len(per_class) == 2 else per_class.sum()
    pairs = classes * (classes - 1) // 2
    if (
        fits != count
        or len(support) != count
        or (per_class < 0).any()
        or len(per_class) != classes
        or weights.shape != (classes - 1, count)
        or estimator.array("_intercept_", 1).shape != (pairs,)
        or any(len(estimator.array(each, 1)) not in (0, pairs) for each in ("_probA", "_probB"))
    ):
        raise estimator.damaged("_n_support")
    return kernel_by_name(estimator, vectors, estimator.number("_gamma")), weights


def _support_classifier(estimator: Fitted) -> Scores:
    """Each pair of classes has a score; of several classes they are counted as the library does.

    Never probabilities: the library finds them by iterations that stop early, which have no exact
    derivatives.
    """
    kernel, weights = _machine(estimator)
    classes = class_names(estimator)
    ends = np.cumsum(estimator.array("_n_support", 1)).astype(int)
    of_class = [
        slice(end - int(n), end) for end, n in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]
    pairs = list(combinations(range(len(classes)), 2))
    columns = np.zeros((weights.shape[1], len(pairs)))
    for at, (i, j) in enumerate(pairs):
        columns[of_class[i], at] = weights[j - 1, of_class[i]]
        columns[of_class[j], at] = weights[i, of_class[j]]
    shift = estimator.array("_intercept_", 1)

    def scores(x: jax.Array) -> jax.Array:
        return kernel(x) @ columns + shift

    if len(classes) == 2:
        return _decisions(lambda x: -scores(x), classes)
    if estimator.get("decision_function_shape") == "ovo":
        names = tuple(f"decision_{classes[i]}_{classes[j]}" for i, j in pairs)
        return Scores(scores, "decision_function", names)
    estimator.file.kinks.append(f"{estimator}: where a pair of classes changes sides, with a jump")
    signs = np.zeros((len(pairs), len(classes)))
    for at, (i, j) in enumerate(pairs):
        signs[at, i], signs[at, j] = 1, -1

    def counted(x: jax.Array) -> jax.Array:
        each = scores(x)
        votes = jnp.where(each < 0, 0.0, 1.0) @ np.maximum(signs, 0)
        votes = votes + jnp.where(each < 0, 1.0, 0.0) @ np.maximum(-signs, 0)
        sums = each @ signs
        return votes + sums / (3 * (jnp.abs(sums) + 1))

    return _decisions(counted, classes)


def _naive_bayes(estimator: Fitted) -> Map:
    means, variances = estimator.array("theta_", 2), estimator.array("var_", 2)
    shift = np.log(estimator.array("class_prior_", 1)) - 0.5 * np.sum(
        np.log(2 * np.pi * variances), axis=1
    )
    return lambda x: shift - 0.5 * jnp.sum((x - means) ** 2 / variances, axis=1)


def _quadratic(estimator: Fitted) -> Map:
    means, priors = estimator.array("means_", 2), estimator.array("priors_", 1)
    parts: list[Any] = []
    for attribute, axes in (("rotations_", 2), ("scalings_", 1)):
        values = estimator.get(attribute)
        if not isinstance(values, list) or len(values) != len(means):
            raise estimator.damaged(attribute)
        parts.append([numbers(each, f"{attribute} of {estimator}", axes) for each in values])
    matrices = [r / np.sqrt(s) for r, s in zip(*parts, strict=True)]
    logs = np.log(priors) - 0.5 * np.array([np.sum(np.log(s)) for s in parts[1]])
    return lambda x: (
        logs
        - 0.5
        * jnp.stack(
            [
                jnp.sum(((x - mean) @ matrix) ** 2)
                for mean, matrix in zip(means, matrices, strict=True)
            ]
        )
    )
