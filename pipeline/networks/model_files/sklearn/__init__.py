"""A network from a `.skops` file of a trained scikit-learn estimator."""

from ._build import build

__all__ = ["build"]
