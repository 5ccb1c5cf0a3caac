"""Which range of the inputs a model of scikit-learn was trained on, where it says so."""

import numpy as np

from .composites import columns_of, parts_of
from .fitted import Fitted
from .splines import spline_ends

# {class: (lowest, highest) of each input}, by attributes that hold them or all training points.
_ENDS = {"MinMaxScaler": ("data_min_", "data_max_"), "QuantileTransformer": ("quantiles_",) * 2}
_POINTS = {
    "GaussianProcessRegressor": "X_train_",
    "KernelPCA": "X_fit_",
    "KernelRidge": "X_fit_",
}


def trained_ranges(estimator: Fitted, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Return {input: (lowest, highest)} of the training, of those inputs of which it is known.

    Args:
        estimator: the whole model.
        names: of its inputs.

    Raises:
        SkopsError: if a part of it is damaged.
    """
    low, high = _ends(estimator, len(names))
    return {
        name: (float(a), float(b))
        for name, a, b in zip(names, low, high, strict=True)
        if np.isfinite(a) and np.isfinite(b) and a < b
    }


def _ends(estimator: Fitted, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (lowest, highest), (count,) each; nan where it is not known."""
    unknown = np.full(count, np.nan)
    low, high = unknown, unknown
    if estimator.name in _ENDS:
        low, high = (estimator.array(attribute, 1, 2) for attribute in _ENDS[estimator.name])
        low, high = np.atleast_2d(low)[0], np.atleast_2d(high)[-1]
    elif estimator.name in _POINTS:
        points = estimator.array(_POINTS[estimator.name], 2)
        low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    elif estimator.name == "SplineTransformer":
        low, high = spline_ends(estimator)
    elif estimator.name == "ColumnTransformer":
        low, high = unknown.copy(), unknown.copy()
        for at, part in columns_of(estimator):
            low[at], high[at] = _ends(part, len(at))
    elif not estimator.has("estimators_features_"):
        for part in parts_of(estimator):
            low, high = _ends(part, count)
            if np.isfinite(low).any():
                break
    return (low, high) if low.shape == high.shape == (count,) else (unknown, unknown)
