"""What a `.keras` file says of a model's layers: what is refused, and what Keras gets of it.

A file names classes, and Keras makes objects of them. Here each must be one of Keras' own layers or
operations of which nothing but arithmetic is known.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from hyperdiag.messages.errors import listed

from .refusal import KerasError

Json = Any

_MOST_CALLS = 5000  # of layers; the largest published ones have about a thousand
_MOST_POOLED = 1 << 20  # numbers of which a layer takes the largest, or the mean
_MOST_PASSES = 20  # over the layers, until each has its inputs
MODELS = ("Functional", "Sequential", "Model")
_CLASSES_OF = {  # what a module may be asked for; None: for any class
    "keras": {*MODELS, "DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"},
    "keras.constraints": None,
    "keras.dtype_policies": {"DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"},
    "keras.initializers": None,
    "keras.layers": None,
    "keras.models": {*MODELS},
    "keras.random": {"SeedGenerator"},
    "keras.regularizers": None,
    "keras.src.models.functional": {"Functional"},
    "keras.src.models.model": {"Model"},
    "keras.src.models.sequential": {"Sequential"},
}
_OPERATIONS = re.compile(r"keras\.src\.(ops|layers)\.(?!.*_test)[a-z0-9_.]+")
_FUNCTIONS_OF = ("builtins", "keras.activations", "keras.ops")
_PLAIN = {
    *("__keras_tensor__", "__numpy__", "__tensor__", "__ellipsis__", "__slice__", "__bytes__"),
}
_CODE = "it holds or calls code; build the model with network=python and a builder of yours"
_WORDS = "it looks words or keys up; leave it out, and give numbers"
_TABLES = "what it computes with may be of any size; compute the spectrum before the model"
_REFUSED = {
    **dict.fromkeys(("Lambda", "__lambda__", "__typespec__"), _CODE),
    **dict.fromkeys(("TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer"), _CODE),
    **dict.fromkeys(("Map", "Scan", "AssociativeScan", "Switch", "WhileLoop"), _CODE),
    **dict.fromkeys(("ForiLoop", "Cond", "VectorizedMap", "CustomGradient"), _CODE),
    **dict.fromkeys(("StringLookup", "IntegerLookup", "TextVectorization"), _WORDS),
    **dict.fromkeys(("Hashing", "HashedCrossing", "FeatureSpace"), _WORDS),
    **dict.fromkeys(("MelSpectrogram", "STFT", "ISTFT", "ExtractSequences"), _TABLES),
}
_HALVES = ("float16", "bfloat16")
_FLOATS = {*_HALVES, "float32", "float64", *(f"mixed_{name}" for name in _HALVES)}
_NUMBERS = {
    *_FLOATS,
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}


def objects(config: Json) -> Iterator[dict[str, Json]]:
    """Return all mappings in a configuration, the outer ones first."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def checked(config: Json) -> Json:
    """Return a model's configuration without what only training needs, having checked all of it.

    Raises:
        KerasError: if it names what is not Keras' own, holds code, or is made to take for ever.
    """
    config = _without_training(config)
    if config.get("class_name") not in MODELS:
        _check_object(config)
        raise KerasError(f"holds the object '{_text(config.get('class_name'))}', which is no model")
    for mapping in objects(config):
        if "class_name" in mapping:
            _check_object(mapping)
    calls = _calls(config, within=())
    if calls > _MOST_CALLS:
        raise KerasError(
            f"calls layers {calls:,} times, and at most {_MOST_CALLS:,} calls are computed"
        )
    return config


def _without_training(config: Json) -> Json:
    if isinstance(config, dict):
        return {key: _without_training(v) for key, v in config.items() if key != "compile_config"}
    return [_without_training(value) for value in config] if isinstance(config, list) else config


def _text(value: Any) -> str:
    return str(value)[:100]


def _label(mapping: dict[str, Json]) -> str:
    """Return what an object is called for people: a layer by its name and class."""
    inner = mapping.get("config")
    name = mapping.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    kind = _text(mapping["class_name"])
    if kind == "function":
        return f"the function '{_text(inner)}'"
    return f"layer '{_text(name)}' ({kind})" if name else kind


def _check_object(mapping: dict[str, Json]) -> None:
    name, module = mapping["class_name"], mapping.get("module")
    what = _label(mapping)
    if not isinstance(name, str):
        raise KerasError(f"names a class that is no text: {what}")
    if name in _REFUSED:
        raise KerasError(f"{what} is refused: {_REFUSED[name]}")
    inner = mapping.get("config")
    if name in _PLAIN:
        dtype = inner.get("dtype", "bool") if isinstance(inner, dict) else "bool"
        if dtype not in _NUMBERS:
            raise KerasError(f"a constant of type '{_text(dtype)}' is no array of numbers")
        return
    if "Quantized" in name or (isinstance(inner, dict) and inner.get("quantization_config")):
        raise KerasError(f"{what} is quantized: derivatives are those of the model before it")
    if not isinstance(module, str) or ">" in str(mapping.get("registered_name")):
        raise KerasError(
            f"{what} is no layer of Keras' own, and a file cannot be trusted to bring code: build "
            "the model with network=python and a builder of yours"
        )
    if name == "function":
        known = module in _FUNCTIONS_OF
    else:
        classes = _CLASSES_OF.get(module, set())
        known = classes is None or name in classes or bool(_OPERATIONS.fullmatch(module))
    if not known:
        raise KerasError(
            f"{what} is of the module '{_text(module)}', and only layers and operations of Keras' "
            "own are computed: build the model with network=python and a builder of yours"
        )
    if isinstance(inner, dict):
        if inner.get("stateful"):
            raise KerasError(
                f"{what} keeps its state from one call to the next, so that the model is no "
                "function of one point; set stateful=False and save it again"
            )
        sizes = inner.get("pool_size")
        if math.prod(sizes if isinstance(sizes, list) else [sizes or 1]) > _MOST_POOLED:
            raise KerasError(f"{what} pools more than {_MOST_POOLED:,} numbers")
        if name in MODELS:
            _check_model(what, name, inner)


def _check_model(what: str, name: str, config: dict[str, Json]) -> None:
    layers = config.get("layers")
    keys = {"layers"} if name == "Sequential" else {"layers", "input_layers", "output_layers"}
    if not keys <= config.keys() or not isinstance(layers, list):
        raise KerasError(f"{what} has no {listed(sorted(keys))}: it is no model of Keras 3")
    if sum(1 + len(nodes(layer)) for layer in layers) > 2 * _MOST_CALLS:
        raise KerasError(f"{what} has more layers than the {_MOST_CALLS:,} that are computed")
    if not all(isinstance(layer, dict) and "class_name" in layer for layer in layers):
        raise KerasError(f"{what} has a layer that is none")
    if name != "Sequential":
        _check_order(what, layers)


def nodes(layer: Json) -> list[Json]:
    """Return the calls of a layer, as the configuration has them."""
    calls = layer.get("inbound_nodes") if isinstance(layer, dict) else None
    return calls if isinstance(calls, list) else []


def sources(node: Json) -> list[tuple[str, int]]:
    """Return which layers' calls a call of a layer takes: each layer's name, and the number."""
    sources = []
    for mapping in objects(node):
        if mapping.get("class_name") == "__keras_tensor__":
            match mapping.get("config"):
                case {"keras_history": [str(name), int(call), int()]}:
                    sources.append((name, call))
                case _:
                    raise KerasError("a call of a layer takes a tensor from nowhere")
    return sources


def _check_order(what: str, layers: list[dict[str, Json]]) -> None:
    """Check that each call of a layer can be made after the calls that it takes.

    Keras makes passes over the layers until all calls are made, which may be as many as there are.
    """
    inputs = ("InputLayer", *MODELS)  # what has one call from the beginning
    made = {str(layer.get("name")): layer["class_name"] in inputs for layer in layers}
    calls = {name: int(at_first) for name, at_first in made.items()}
    waiting = {str(layer.get("name")): [sources(n) for n in nodes(layer)] for layer in layers}
    if len(waiting) != len(layers):
        raise KerasError(f"{what} has two layers of the same name")
    for name, left in waiting.items():
        if not all(left):
            raise KerasError(f"{what}: a call of the layer '{_text(name)}' takes no tensor")
    for _ in range(_MOST_PASSES):
        for name, left in waiting.items():
            while left and all(number < calls.get(source, 0) for source, number in left[0]):
                left.pop(0)
                calls[name] += 1
        waiting = {name: left for name, left in waiting.items() if left}
        if not waiting:
            return
    raise KerasError(
        f"{what}: the layer '{_text(next(iter(waiting)))}' takes what nothing before it gives"
    )


def _calls(layer: dict[str, Json], within: tuple[str, ...]) -> int:
    """Return how many calls of layers a call of a layer comes to, those within it included."""
    name, inner = layer["class_name"], layer.get("config")
    if len(within) > 30 or (name == "Bidirectional" and name in within):
        raise KerasError(f"{_label(layer)} lies too deep in other layers")
    if not isinstance(inner, dict):
        return 1
    parts = inner["layers"] if name in MODELS else [inner.get("layer"), inner.get("cell")]
    return 1 + sum(
        max(len(nodes(part)), 1) * _calls(part, (*within, name))
        for part in parts
        if isinstance(part, dict) and "class_name" in part
    )


def in_dtype(config: Json, dtype: str | None) -> Json:
    """Return a configuration for any number of rows, all of it computed in one dtype.

    Args:
        config: as `checked` returns it.
        dtype: which; None: each layer in its own.
    """
    if isinstance(config, list):
        return [in_dtype(value, dtype) for value in config]
    if not isinstance(config, dict):
        return config
    name, inner = config.get("class_name"), config.get("config")
    if dtype and name in ("DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap"):
        if isinstance(inner, dict) and inner.get("name") not in {None, *_FLOATS}:
            return config
        return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}}
    changed = {key: in_dtype(value, dtype) for key, value in config.items()}
    if dtype and isinstance(config.get("dtype"), str) and config["dtype"] in _FLOATS:
        changed["dtype"] = dtype
    if isinstance(inner, dict):
        # Rows are not of the model; one number of them may have been fixed for training.
        shape = inner.get("batch_shape")
        if name == "InputLayer" and isinstance(shape, list):
            changed["config"] |= {"batch_shape": [None, *shape[1:]], "sparse": False}
        # A kernel of NVIDIA's that cannot be differentiated twice; a loop may be of any length.
        if name in ("LSTM", "GRU"):
            changed["config"]["use_cudnn"] = False
        if "unroll" in inner:
            changed["config"]["unroll"] = False
    return changed
