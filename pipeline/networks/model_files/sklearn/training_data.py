"""What a model of scikit-learn tells of the inputs that it was trained on."""

from collections.abc import Callable

import numpy as np

from ...network import known_moments
from .composites import columns_of, parts_of
from .fitted import Fitted
from .splines import spline_ends

Pair = tuple[np.ndarray, np.ndarray]  # a number of each input, twice

# {class: (lowest, highest) of each input}, by attributes that hold them or all training points.
_ENDS = {"MinMaxScaler": ("data_min_", "data_max_"), "QuantileTransformer": ("quantiles_",) * 2}
_POINTS = {
    "GaussianProcessRegressor": "X_train_",
    "KernelPCA": "X_fit_",
    "KernelRidge": "X_fit_",
}
# {class: (mean, standard deviation) of each input}, or what is as good: median and quartiles.
_MOMENTS = {
    "StandardScaler": ("mean_", "scale_"),
    "RobustScaler": ("center_", "scale_"),
    "CCA": ("_x_mean", "_x_std"),
    "PLSCanonical": ("_x_mean", "_x_std"),
    "PLSRegression": ("_x_mean", "_x_std"),
}


def trained_ranges(estimator: Fitted, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Return {input: (lowest, highest)} of the training, of those inputs of which it is known.

    Args:
        estimator: the whole model.
        names: of its inputs.

    Raises:
        SkopsError: if a part of it is damaged.
    """
    pairs = _by_name(estimator, names, _ends)
    return {name: (low, high) for name, (low, high) in pairs.items() if low < high}


def trained_moments(estimator: Fitted, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Return {input: (mean, standard deviation)}, as `trained_ranges`."""
    return dict(known_moments(_by_name(estimator, names, _moments)))


def _by_name(
    estimator: Fitted, names: tuple[str, ...], pair_of: Callable[[Fitted], Pair | None]
) -> dict[str, tuple[float, float]]:
    return {
        name: (float(a), float(b))
        for name, a, b in zip(names, *_of_inputs(estimator, len(names), pair_of), strict=True)
        if np.isfinite(a) and np.isfinite(b)
    }


def _of_inputs(estimator: Fitted, count: int, pair_of: Callable[[Fitted], Pair | None]) -> Pair:
    """Return what the first that knows tells of each input, (count,) each; nan if none does."""
    unknown = np.full(count, np.nan)
    first, second = pair_of(estimator) or (unknown, unknown)
    if estimator.name == "ColumnTransformer":
        first, second = unknown.copy(), unknown.copy()
        for at, part in columns_of(estimator):
            pair = _of_inputs(part, len(at), pair_of)
            known = np.isfinite(pair[0]) & ~np.isfinite(first[at])  # a column may have several
            first[at[known]], second[at[known]] = pair[0][known], pair[1][known]
    elif not np.isfinite(first).any() and not estimator.has("estimators_features_"):
        for part in parts_of(estimator):
            first, second = _of_inputs(part, count, pair_of)
            if np.isfinite(first).any():
                break
    return (first, second) if first.shape == second.shape == (count,) else (unknown, unknown)


def _ends(estimator: Fitted) -> Pair | None:
    if estimator.name in _ENDS:
        low, high = (estimator.array(attribute, 1, 2) for attribute in _ENDS[estimator.name])
        return np.atleast_2d(low)[0], np.atleast_2d(high)[-1]
    if estimator.name in _POINTS:
        points = estimator.array(_POINTS[estimator.name], 2)
        return points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    return spline_ends(estimator) if estimator.name == "SplineTransformer" else None


def _moments(estimator: Fitted) -> Pair | None:
    names = _MOMENTS.get(estimator.name, ())
    if not names or not all(map(estimator.has, names)) or estimator.get("scale") is False:
        return None
    mean, deviation = (estimator.array(name, 1) for name in names)
    return mean, deviation
