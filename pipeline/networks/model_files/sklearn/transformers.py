"""Transformers of scikit-learn as functions of one point."""

import math
from itertools import chain, combinations, combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np

from .fitted import Fitted
from .kernels import kernel_by_name
from .scalers import SCALERS, Map, scaler
from .splines import splines

_MOST_TERMS = 100_000  # of polynomials: a degree of two digits can ask for 10^12
_MOST_DEGREE = 20


def transformer(estimator: Fitted) -> Map | None:
    """Return what a transformer computes; None if it is none of those known here.

    Raises:
        SkopsError: if something of it is not known, or missing.
    """
    if estimator.name in SCALERS:
        return scaler(estimator)
    function = {
        "FactorAnalysis": _factors,
        "FastICA": _projected,
        "GaussianRandomProjection": _projected,
        "IncrementalPCA": _principal,
        "KernelPCA": _kernel_components,
        "LinearDiscriminantAnalysis": _discriminants,
        "NeighborhoodComponentsAnalysis": _projected,
        "Normalizer": _normalizer,
        "Nystroem": _nystroem,
        "CCA": _latent,
        "PCA": _principal,
        "PLSCanonical": _latent,
        "PLSRegression": _latent,
        "PolynomialFeatures": _polynomials,
        "RBFSampler": _cosines,
        "RFE": _selected,
        "RFECV": _selected,
        "SelectKBest": _selected,
        "SimpleImputer": _imputer,
        "SplineTransformer": splines,
        "TruncatedSVD": _projected,
        "VarianceThreshold": _selected,
    }.get(estimator.name)
    return None if function is None else function(estimator)


def _projected(estimator: Fitted) -> Map:
    """x C', of FastICA with its mean taken off."""
    components = estimator.array("components_", 2).T
    if not (estimator.name == "FastICA" and estimator.get("whiten")):
        return lambda x: x @ components
    mean = estimator.array("mean_", 1)
    return lambda x: (x - mean) @ components


def _principal(estimator: Fitted) -> Map:
    components, mean = estimator.array("components_", 2).T, estimator.array("mean_", 1)
    if estimator.get("whiten"):
        widths = np.sqrt(estimator.array("explained_variance_", 1))
        components = components / np.maximum(widths, np.finfo(np.float64).eps)
    return lambda x: (x - mean) @ components


def _factors(estimator: Fitted) -> Map:
    components, mean = estimator.array("components_", 2), estimator.array("mean_", 1)
    weights = components / estimator.array("noise_variance_", 1)
    matrix = weights.T @ np.linalg.inv(np.eye(len(components)) + weights @ components.T)
    return lambda x: (x - mean) @ matrix


def _latent(estimator: Fitted) -> Map:
    mean, width = estimator.array("_x_mean", 1), estimator.array("_x_std", 1)
    rotations = estimator.array("x_rotations_", 2)
    return lambda x: ((x - mean) / width) @ rotations


def _discriminants(estimator: Fitted) -> Map:
    mean = estimator.array("xbar_", 1) if estimator.get("solver") == "svd" else 0.0
    scalings = estimator.array("scalings_", 2)[:, : int(estimator.number("_max_components"))]
    return lambda x: (x - mean) @ scalings


def _kernel_components(estimator: Fitted) -> Map:
    kernel = kernel_by_name(estimator, estimator.array("X_fit_", 2), estimator.number("gamma_"))
    centerer = estimator.fitted("_centerer")
    means, mean = centerer.array("K_fit_rows_", 1), centerer.number("K_fit_all_")
    values, vectors = estimator.array("eigenvalues_", 1), estimator.array("eigenvectors_", 2)
    scaled = np.where(values == 0, 0, vectors / np.sqrt(np.where(values == 0, 1, values)))

    def function(x: jax.Array) -> jax.Array:
        row = kernel(x)
        return (row - means - jnp.mean(row) + mean) @ scaled

    return function


def _nystroem(estimator: Fitted) -> Map:
    gamma = estimator.number("gamma") if estimator.has("gamma") else None
    kernel = kernel_by_name(estimator, estimator.array("components_", 2), gamma)
    matrix = estimator.array("normalization_", 2).T
    return lambda x: kernel(x) @ matrix


def _cosines(estimator: Fitted) -> Map:
    weights, offsets = estimator.array("random_weights_", 2), estimator.array("random_offset_", 1)
    size = math.sqrt(2 / len(offsets))
    return lambda x: size * jnp.cos(x @ weights + offsets)


def _normalizer(estimator: Fitted) -> Map:
    name = estimator.get("norm")
    if name not in ("l1", "l2", "max"):
        raise estimator.refuse(f"the norm {str(name)[:40]}")
    if name != "l2":
        estimator.file.kinks.append(f"{estimator}: |x|")

    def function(x: jax.Array) -> jax.Array:
        if name == "l2":
            square = jnp.sum(x * x)
            return x / jnp.sqrt(jnp.where(square == 0, 1, square))
        length = jnp.sum(jnp.abs(x)) if name == "l1" else jnp.max(jnp.abs(x))
        return x / jnp.where(length == 0, 1, length)

    return function


def _imputer(estimator: Fitted) -> Map:
    values = estimator.array("statistics_", 1)
    missing = estimator.get("missing_values")
    if not (isinstance(missing, float) and np.isnan(missing)) or np.isnan(values).any():
        raise estimator.refuse("missing values that are not nan, or a column without any value")
    if estimator.get("add_indicator"):
        raise estimator.refuse("add_indicator")
    return lambda x: jnp.where(jnp.isnan(x), values, x)


def _selected(estimator: Fitted) -> Map:
    if estimator.name == "VarianceThreshold":
        kept = estimator.array("variances_", 1) > estimator.number("threshold")
    elif estimator.name == "SelectKBest":
        scores = estimator.array("scores_", 1)
        scores = np.where(np.isnan(scores), np.finfo(np.float64).min, scores)
        count = len(scores) if estimator.get("k") == "all" else int(estimator.number("k"))
        kept = np.isin(np.arange(len(scores)), np.argsort(scores, kind="stable")[::-1][:count])
    else:
        kept = estimator.array("support_", 1) > 0
    positions = np.flatnonzero(kept)
    return lambda x: x[positions]


def _polynomials(estimator: Fitted) -> Map:
    n_inputs = int(estimator.number("n_features_in_"))
    low, high = estimator.get("_min_degree"), estimator.get("_max_degree")
    if not (type(low) is type(high) is int and 0 <= low <= high <= _MOST_DEGREE):
        raise estimator.damaged("_max_degree")
    if math.comb(n_inputs + high, high) > _MOST_TERMS:
        raise estimator.refuse(f"a polynomial of {math.comb(n_inputs + high, high):,} terms")
    choose = combinations if estimator.get("interaction_only") else combinations_with_replacement
    terms = list(
        chain.from_iterable(choose(range(n_inputs), k) for k in range(max(1, low), high + 1))
    )
    if estimator.get("include_bias"):
        terms = [(), *terms]
    # Which factors each term has: number n_inputs stands for 1.
    factors = np.array([[*term, *[n_inputs] * (high - len(term))] for term in terms], int)

    def function(x: jax.Array) -> jax.Array:
        numbers = jnp.concatenate([x, jnp.ones(1, x.dtype)])
        product = jnp.ones(len(terms), x.dtype)
        for column in factors.T:
            product = product * numbers[column]
        return product

    return function
