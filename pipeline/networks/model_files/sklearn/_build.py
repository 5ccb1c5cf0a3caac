"""A network from a `.skops` file of a trained scikit-learn estimator."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperdiag.hyperdual import numerics, reason
from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.wording import counted

from ...digest import digest_of
from ...facts import kinks_at
from ...network import Network, checked_ranges, named
from .composites import computed, description, input_count, parts_of
from .file import SkopsError, SkopsFile, read_skops
from .fitted import Fitted
from .library import library_values
from .training_data import trained_moments, trained_ranges


def build(
    path: str,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    ranges: dict[str, Any] | None = None,
    compare: bool = True,
    dtype: str = "float32",
) -> Network:
    """A model of scikit-learn's, of a .skops file: network.path=model.skops (extra `sklearn`)."""
    try:
        file = read_skops(Path(path).expanduser())
        return _network(file, inputs, outputs, ranges, compare, dtype)
    except SkopsError as error:
        raise UsageError(f"network.path={path}: {error}") from error
    except (RecursionError, MemoryError, ValueError, TypeError, IndexError, KeyError) as error:
        raise UsageError(
            f"network.path={path}: is damaged, or not a fitted estimator: {reason(error)}"
        ) from error


def _network(
    file: SkopsFile,
    inputs: list[str] | None,
    outputs: list[str] | None,
    ranges: dict[str, Any] | None,
    compare: bool,
    dtype: str,
) -> Network:
    model = Fitted(file, file.root)
    count, columns = input_count(model), _column_names(model)
    with np.errstate(all="ignore"):  # a damaged file may hold any numbers
        made = computed(model)
    with numerics(dtype):
        shape = jax.eval_shape(made.function, jax.ShapeDtypeStruct((count,), dtype)).shape
    definition = {where: word for where, word in file.used.items() if isinstance(word, str)}
    arrays = {where: array for where, array in file.used.items() if not isinstance(array, str)}
    names = named("x", count, inputs or columns)
    return Network(
        name="sklearn",
        function=lambda x: made.function(x).astype(x.dtype),
        inputs=names,
        outputs=_output_names(made.names, shape, outputs),
        digest=digest_of("scikit-learn " + json.dumps(definition, sort_keys=True), arrays),
        ranges={**trained_ranges(model, names), **checked_ranges(ranges)},
        moments=trained_moments(model, names),
        description=description(model),
        facts=_facts(file, model, arrays, made.method),
        library_values=library_values(file, made.method, columns) if compare else None,
    )


def _column_names(model: Fitted) -> list[str] | None:
    """Return the names of the columns that the model was trained with, where they had names."""
    part: Fitted | None = model
    while part is not None and not part.has("n_features_in_"):
        part = next(parts_of(part), None)
    columns = part.get("feature_names_in_") if part is not None else None
    return None if columns is None else [str(name) for name in columns]


def _output_names(
    made: tuple[str, ...], shape: tuple[int, ...], wanted: list[str] | None
) -> tuple[str, ...]:
    size = shape[0] if shape else 1
    if made and len(made) != size:
        raise SkopsError(f"it computes {counted(size, 'number')} for {listed(made)}")
    if wanted is None:
        return made or (("y",) if size == 1 else named("y", size, None))
    return named("y", size, wanted)


def _facts(
    file: SkopsFile, model: Fitted, arrays: dict[str, np.ndarray], method: str
) -> tuple[str, ...]:
    parameters = sum(array.size for array in arrays.values() if array.dtype.kind == "f")
    version = model.get("_sklearn_version")
    contents = f"{counted(parameters, 'parameter')}; values are those of {method}" + (
        f"; trained with scikit-learn {str(version)[:20]}" if version else ""
    )
    return contents, *kinks_at(file.kinks)
