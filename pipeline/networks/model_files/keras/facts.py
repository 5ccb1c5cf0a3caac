"""What a configuration of Keras' tells of a model: its precision, its names, its layers."""

import re
from collections import Counter
from collections.abc import Iterator

from hyperdiag.messages.wording import counted

from ...facts import kinks_at
from .config import MODELS, Json, nodes, objects, sources

# Layers, operations and activations whose derivatives jump.
_KINKS = {
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "hard_sigmoid", "hard_silu"),
    *("hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "threshold", "sparse_plus"),
    *("sparsemax", "sparse_sigmoid"),
    *("ReLU", "LeakyReLU", "PReLU", "ELU", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D"),
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "Discretization"),
    *("AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D"),
    *("Maximum", "Minimum", "Absolute", "Abs", "Relu", "Relu6", "LeakyRelu", "Elu", "Celu"),
    *("Selu", "HardSigmoid", "HardSilu", "HardTanh", "HardShrink", "SoftShrink", "Threshold"),
    *("Max", "Min", "Amax", "Amin", "Clip", "Sign", "Floor", "Ceil", "Round", "Mod", "Where"),
    *("Sort", "TopK", "Median", "Quantile", "MaxPool", "Sparsemax", "SparsePlus", "Trunc"),
}


def dtypes(config: Json) -> tuple[str, str | None]:
    """Return the dtype that holds a model's numbers, float32 or float64, and its half, if any."""
    names = {value for mapping in objects(config) for value in _dtypes(mapping)}
    half = next((name for name in ("bfloat16", "float16") if {name, f"mixed_{name}"} & names), None)
    return "float64" if "float64" in names else "float32", half


def _dtypes(mapping: dict[str, Json]) -> Iterator[str]:
    if isinstance(mapping.get("dtype"), str):
        yield mapping["dtype"]
    if mapping.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
        yield str(mapping["config"].get("name"))


def takers(config: Json, name: str) -> set[str]:
    """Return the classes of the layers that take what the input of this name gives.

    Args:
        config: of the model.
        name: of the input's layer; of a sequential model, any.
    """
    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    if config["class_name"] == "Sequential":
        return {layer["class_name"] for layer in layers[:1]}
    return {
        layer["class_name"]
        for layer in layers
        for node in nodes(layer)
        if any(source == name for source, _ in sources(node))
    }


def is_numbered(name: str, config: Json) -> bool:
    """Tell whether Keras gave a layer its name: that of its class, with a number after it."""
    classes = {m["class_name"] for m in objects(config) if isinstance(m.get("class_name"), str)}
    plain = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", c) for c in classes}
    plain = {text.lower() for text in plain} | {"keras_tensor"}
    return re.sub(r"_\d+$", "", name) in plain


def facts(config: Json, n_parameters: int) -> tuple[str, ...]:
    """Return lines for people: what a model is made of, where it has kinks."""
    layers = [
        layer
        for mapping in objects(config)
        if mapping.get("class_name") in MODELS
        for layer in mapping["config"]["layers"]
        if layer["class_name"] not in (*MODELS, "InputLayer")
    ]
    counts = Counter(layer["class_name"] for layer in layers)
    kinks = [
        str(layer.get("name") or layer["config"].get("name"))
        for layer in layers
        if _has_kink(layer)
    ]
    contents = (
        f"{counted(len(layers), 'layer')}, {counted(n_parameters, 'parameter')}: "
        + ", ".join(f"{name} {count}" for name, count in counts.most_common())
    )
    return contents, *kinks_at(kinks)


def _has_kink(layer: dict[str, Json]) -> bool:
    for mapping in objects(layer):
        names = [mapping.get(key) for key in ("class_name", "activation", "recurrent_activation")]
        if mapping.get("class_name") == "function":
            names.append(mapping.get("config"))
        if any(isinstance(name, str) and name in _KINKS for name in names):
            return True
    return False
