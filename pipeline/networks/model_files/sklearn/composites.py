"""Estimators of scikit-learn that are made of others, and the function of a whole model."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .file import SkopsError
from .fitted import Fitted, numbers
from .predictors import Scores, class_names, classifier, probabilities, regressor
from .scalers import SCALERS, Map, inverse
from .transformers import transformer


def computed(estimator: Fitted) -> Scores:
    """Return what a whole model computes, and by which of its methods.

    Of a regressor, what it predicts; of a classifier its probabilities, or its decision function
    where it has none; else what it transforms to. Numbers of a regressor or transformer have no
    names.

    Raises:
        SkopsError: naming the estimator that is not known, or what of it.
    """
    if estimator.name == "Pipeline":
        steps = _steps(estimator)
        first, last = _in_turn(steps[:-1]), computed(steps[-1])
        return Scores(lambda x: last.function(first(x)), last.method, last.names)
    if estimator.name == "VotingClassifier":
        return _voting(estimator)
    scores = classifier(estimator)
    if scores is not None:
        return Scores(_checked(estimator, scores.function), scores.method, scores.names)
    function = _composed_regressor(estimator) or regressor(estimator)
    if function is not None:
        return Scores(_checked(estimator, function), "predict", ())
    return Scores(_transformed(estimator), "transform", ())


def parts_of(estimator: Fitted) -> Iterator[Fitted]:
    """Return the estimators to which the inputs go of one that is made of others, in order."""
    if estimator.name == "Pipeline":
        yield from _steps(estimator)[:1]
    elif estimator.name == "FeatureUnion":
        yield from (part for part in _pairs(estimator, "transformer_list") if part is not None)
    elif estimator.name == "TransformedTargetRegressor":
        yield estimator.fitted("regressor_")
    elif estimator.has("estimators_"):
        yield from estimator.all_fitted("estimators_")


def input_count(estimator: Fitted) -> int:
    """Return how many numbers a model takes.

    Raises:
        SkopsError: if it does not say so.
    """
    while not estimator.has("n_features_in_"):
        part = next(parts_of(estimator), None)
        if part is None:
            raise estimator.damaged("n_features_in_")
        estimator = part
    count = estimator.get("n_features_in_")
    if type(count) is not int or count < 1:
        raise estimator.damaged("n_features_in_")
    return count


def description(estimator: Fitted) -> str:
    """Return what a model is made of, in a few words: Pipeline(StandardScaler, PCA, Ridge)."""
    parts: list[Fitted] = []
    if estimator.name == "Pipeline":
        parts = _steps(estimator)
    elif estimator.name == "ColumnTransformer":
        parts = [part for _, part in columns_of(estimator)]
    elif estimator.name == "TransformedTargetRegressor":
        parts = [*parts_of(estimator), estimator.fitted("transformer_")]
    elif not estimator.name.startswith("Bagging"):
        parts = [*parts_of(estimator)]
    inner = ", ".join(description(part) for part in parts)
    return f"{estimator.name}({inner})" if inner else estimator.name


def _checked(estimator: Fitted, function: Map) -> Map:
    """Return a function that refuses points of another length than the estimator says."""
    if not estimator.has("n_features_in_"):
        return function
    count = estimator.get("n_features_in_")

    def checked(x: jax.Array) -> jax.Array:
        if x.shape != (count,):
            raise SkopsError(f"{estimator} takes {count} numbers, and gets {x.shape[0]}")
        return function(x)

    return checked


def _in_turn(steps: Sequence[Fitted]) -> Map:
    functions = [_transformed(step) for step in steps]

    def function(x: jax.Array) -> jax.Array:
        for each in functions:
            x = each(x)
        return x

    return function


def _transformed(estimator: Fitted) -> Map:
    """Return what a transformer computes, one that is made of others included."""
    if estimator.name == "Pipeline":
        return _in_turn(_steps(estimator))
    if estimator.name == "FeatureUnion":
        return _side_by_side(
            estimator, [(None, part) for part in _pairs(estimator, "transformer_list") if part]
        )
    if estimator.name == "ColumnTransformer":
        return _side_by_side(estimator, columns_of(estimator))
    if estimator.name == "VotingRegressor":
        return _checked(estimator, _several(estimator))
    if estimator.name == "StackingRegressor":
        return _checked(estimator, _predictions(estimator))
    function = transformer(estimator)
    if function is None:
        raise estimator.refuse("what it transforms to")
    return _checked(estimator, function)


def _side_by_side(estimator: Fitted, parts: Sequence[tuple[np.ndarray | None, Fitted]]) -> Map:
    """Return what several transformers compute, of columns or of all of them (None)."""
    if estimator.has("transformer_weights"):
        raise estimator.refuse("transformer_weights")
    if not parts:
        raise estimator.refuse("a union of nothing")
    functions = [(columns, _transformed(part)) for columns, part in parts]

    def function(x: jax.Array) -> jax.Array:
        return jnp.concatenate([f(x if at is None else x[at]) for at, f in functions])

    return _checked(estimator, function)


def columns_of(estimator: Fitted) -> list[tuple[np.ndarray, Fitted]]:
    """Return the columns of each transformer of a ColumnTransformer, and the transformer.

    Those that get no columns, or whose columns are dropped, are left out.

    Raises:
        SkopsError: if something of it is missing, or no transformer.
    """
    indices = estimator.get("_transformer_to_input_indices")
    entries = estimator.get("transformers_")
    if not isinstance(indices, dict) or not isinstance(entries, list):
        raise estimator.damaged("transformers_")
    count = input_count(estimator)
    columns = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
            raise estimator.damaged("transformers_")
        name, part, _ = entry
        at = numbers(indices.get(name, []), f"columns of {name}", 1).astype(int)
        if (at < 0).any() or (at >= count).any():
            raise estimator.damaged("_transformer_to_input_indices")
        if part == "drop" or not len(at):
            continue
        if not isinstance(part, Fitted):
            raise estimator.refuse(f"the transformer {str(part)[:40]}")
        columns.append((at, part))
    return columns


def _pairs(estimator: Fitted, attribute: str) -> list[Fitted | None]:
    """Return the estimators of a list of names and estimators; None for those that do nothing."""
    entries = estimator.get(attribute)
    if not isinstance(entries, list) or not entries:
        raise estimator.damaged(attribute)
    parts: list[Fitted | None] = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2:
            raise estimator.damaged(attribute)
        part = entry[1]
        if not (isinstance(part, Fitted) or part in (None, "passthrough", "drop")):
            raise estimator.damaged(attribute)
        parts.append(part if isinstance(part, Fitted) else None)
    return parts


def _steps(estimator: Fitted) -> list[Fitted]:
    steps = [step for step in _pairs(estimator, "steps") if step is not None]
    if not steps:
        raise estimator.refuse("a pipeline of nothing")
    return steps


def _predicted(estimator: Fitted) -> Map:
    """Return what an estimator predicts, which must be a regressor."""
    scores = computed(estimator)
    if scores.method != "predict":
        raise estimator.refuse(f"what it predicts, since it is no regressor: {scores.method}")
    return scores.function


def _composed_regressor(estimator: Fitted) -> Map | None:
    function = {
        "BaggingRegressor": _bagged,
        "MultiOutputRegressor": _several,
        "RANSACRegressor": _consensus,
        "RegressorChain": _chain,
        "StackingRegressor": _stacked,
        "TransformedTargetRegressor": _target,
        "VotingRegressor": _mean,
    }.get(estimator.name)
    return None if function is None else function(estimator)


def _target(estimator: Fitted) -> Map:
    regressor_ = _predicted(estimator.fitted("regressor_"))
    back = _inverse(estimator.fitted("transformer_"))
    return lambda x: back(regressor_(x))


def _inverse(estimator: Fitted) -> Map:
    if estimator.name == "Pipeline":
        functions = [_inverse(step) for step in _steps(estimator)][::-1]

        def function(y: jax.Array) -> jax.Array:
            for each in functions:
                y = each(y)
            return y

        return function
    if estimator.name not in SCALERS:
        raise estimator.refuse("its inverse")
    return inverse(estimator)


def _consensus(estimator: Fitted) -> Map:
    return _predicted(estimator.fitted("estimator_"))


def _all(estimator: Fitted) -> list[Map]:
    functions = [_predicted(part) for part in estimator.all_fitted("estimators_")]
    if not functions:
        raise estimator.damaged("estimators_")
    return functions


def _several(estimator: Fitted) -> Map:
    functions = _all(estimator)
    return lambda x: jnp.concatenate([function(x) for function in functions])


def _mean(estimator: Fitted) -> Map:
    functions, weights = _all(estimator), _weights(estimator)
    return lambda x: weights @ jnp.stack([function(x) for function in functions])


def _weights(estimator: Fitted) -> np.ndarray:
    """Return the weights of the estimators that vote, which sum to 1."""
    kept = [part is not None for part in _pairs(estimator, "estimators")]
    weights = np.ones(len(kept))
    if estimator.has("weights"):
        weights = estimator.array("weights", 1)
    if len(weights) != len(kept) or sum(kept) != len(estimator.all_fitted("estimators_")):
        raise estimator.damaged("weights")
    return weights[kept] / weights[kept].sum()


def _voting(estimator: Fitted) -> Scores:
    if estimator.get("voting") != "soft":
        raise estimator.refuse("a vote that counts (voting='hard'): its derivatives are zero; it")
    each = [computed(part) for part in estimator.all_fitted("estimators_")]
    if not each or any(scores.method != "predict_proba" for scores in each):
        raise estimator.refuse("a vote of estimators without probabilities")
    weights = _weights(estimator)
    return probabilities(
        lambda x: weights @ jnp.stack([scores.function(x) for scores in each]),
        class_names(estimator),
    )


def _bagged(estimator: Fitted) -> Map:
    functions, count = _all(estimator), input_count(estimator)
    features = estimator.get("estimators_features_")
    if not isinstance(features, list) or len(features) != len(functions):
        raise estimator.damaged("estimators_features_")
    columns = [
        numbers(each, f"estimators_features_ of {estimator}", 1).astype(int) for each in features
    ]
    if any((each < 0).any() or (each >= count).any() for each in columns):
        raise estimator.damaged("estimators_features_")
    return lambda x: jnp.mean(
        jnp.stack([f(x[at]) for f, at in zip(functions, columns, strict=True)]), axis=0
    )


def _chain(estimator: Fitted) -> Map:
    functions = _all(estimator)
    order = numbers(estimator.get("order_"), f"order_ of {estimator}", 1).astype(int)
    if sorted(order) != list(range(len(functions))):
        raise estimator.damaged("order_")
    back = np.argsort(order)

    def function(x: jax.Array) -> jax.Array:
        known = x
        for each in functions:
            known = jnp.concatenate([known, each(known)])
        return known[x.shape[0] :][back]

    return function


def _stacked(estimator: Fitted) -> Map:
    predictions, last = _predictions(estimator), _predicted(estimator.fitted("final_estimator_"))
    return lambda x: last(predictions(x))


def _predictions(estimator: Fitted) -> Map:
    """Return what the last estimator of a stack gets: predictions of the others, and maybe x."""
    functions, rest = _all(estimator), bool(estimator.get("passthrough"))
    return lambda x: jnp.concatenate([*(f(x) for f in functions), *([x] if rest else [])])
