"""What scikit-learn itself computes of a model."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ...extra import needs
from .file import SkopsError, SkopsFile
from .names import HARMLESS

_OLDEST_SKOPS = (0, 13)  # before, a file could run code


def library_values(
    file: SkopsFile, method: str, columns: list[str] | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of points (rows, n), float64, to the library's values (rows, m).

    The library is imported, and the file loaded, when it is called first.

    Args:
        file: that has been looked at.
        method: of the estimator.
        columns: their names, where it was trained with names.
    """

    @cache
    def model() -> Any:
        return _loaded(file)

    def values(points: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file may be of another version of the library
            rows = _frame(points, columns) if columns else points
            result = np.asarray(getattr(model(), method)(rows), np.float64)
        result = result.reshape(len(points), -1)
        # Of two classes the probability of the second alone.
        return result[:, 1:] if method == "predict_proba" and result.shape[1] == 2 else result

    return values


def _loaded(file: SkopsFile) -> Any:
    """Return the estimator that a file holds, of types alone that are known to be harmless.

    Raises:
        UsageError: if a package is missing.
        SkopsError: if the file holds another type, or the package is too old.
    """
    with needs("sklearn", "skops", "sklearn"):
        import skops  # type: ignore[import-untyped]
        import skops.io  # type: ignore[import-untyped]

    version = tuple(int(part) for part in skops.__version__.split(".")[:2])
    if version < _OLDEST_SKOPS:
        raise SkopsError(
            f"skops {skops.__version__} may run code of a file: pip install 'hyperdiag[sklearn]'"
        )
    content = file.without_ids()
    asked = set(skops.io.get_untrusted_types(data=content))
    if asked - HARMLESS:
        raise SkopsError(f"skops does not trust {', '.join(sorted(asked - HARMLESS))}")
    return skops.io.loads(content, trusted=sorted(asked))


def _frame(points: np.ndarray, columns: list[str]) -> Any:
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError:
        return points
    return pd.DataFrame(points, columns=columns)
