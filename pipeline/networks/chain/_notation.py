"""The layers of a chain, as text in Flux's notation or as a list of mappings."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperdiag.messages.errors import Problems, UsageError, closest

from ..activations import ACTIVATIONS, canonical
from ._layers import Activation, Dense, Layer, Normalization, Skip, misfits

# What a mapping calls them, and what text does.
_NORMALIZATIONS = {
    "layer_norm": "LayerNorm",
    "rms_norm": "RMSNorm",
    "batch_norm": "BatchNorm",
}
_KNOWN = ("Dense", *_NORMALIZATIONS.values(), "SkipConnection")
_USAGE = "network.layers reads like Chain(Dense(5, 3, elu), Dense(3, 3))"
_EPSILONS = ("eps", "epsilon")
_USUAL_EPSILON = 1e-5  # of PyTorch, Flux and Equinox, but for RMS norms
# Flux also writes Dense(5 => 3, elu) and SkipConnection(layer, +).
_NOT_PYTHONS = {r"=>": ",", r",\s*\+\s*\)": ", add)"}


@dataclass(frozen=True)
class _Written:
    """A layer as it is written.

    Attributes:
        kind: "Dense", ...; "activation".
        text: as it stands there.
        flux: whether activations have Flux's names.
        sizes: what stands where sizes stand.
        activation: likewise.
        epsilon: likewise; None where nothing stands.
        inner: the layers of a skip connection.
    """

    kind: str
    text: str
    flux: bool
    sizes: Sequence[Any] = ()
    activation: Any = "identity"
    epsilon: Any = None
    inner: "Sequence[_Written]" = field(default=())


def parse_layers(layers: str | Sequence[str | Mapping[str, Any]]) -> list[Layer]:
    """Read the layers of a chain, in either notation.

    Text is Flux's, and so is what it calls activations; mappings take PyTorch's names.

    Raises:
        UsageError: naming each layer that is not a layer, and each pair that does not fit.
    """
    written = _read_text(layers) if isinstance(layers, str) else _read_mappings(layers)
    problems = Problems()
    parsed = _layers(written, problems)
    if not problems:
        for sentence in misfits(parsed):
            problems.add(sentence)
        if not parsed:
            problems.add("network.layers is empty: give at least one Dense(inputs, outputs)")
    problems.check()
    return parsed


def _layers(written: Sequence[_Written], problems: Problems, place: str = "") -> list[Layer]:
    parsed: list[Layer] = []
    for number, layer in enumerate(written, start=1):
        what = f"network.layers: layer {place}{number}"
        if layer.kind == "SkipConnection":
            inner = _layers(layer.inner, problems, f"{place}{number}.")
            parsed.append(Skip(tuple(inner)))
            if not layer.inner:
                problems.add(f"{what} needs layers: {layer.text}")
            continue
        name = _activation(layer, what, problems)
        sizes = [size for size in layer.sizes if type(size) is int and size > 0]
        epsilon = layer.epsilon
        if epsilon is None and layer.kind != "RMSNorm":
            epsilon = _USUAL_EPSILON
        needed = {"Dense": 2, "activation": 0}.get(layer.kind, 1)
        if len(layer.sizes) != needed or len(sizes) != needed:
            words = "two positive sizes" if needed == 2 else "a positive size"
            problems.add(f"{what} needs {words}, and perhaps an activation: {layer.text}")
        elif epsilon is None:
            problems.add(
                f"{what} needs its eps, of which libraries have different ones (PyTorch without "
                f"one, in float32: eps=1.1920929e-7): {layer.text}"
            )
        elif type(epsilon) not in (int, float) or not epsilon >= 0:
            problems.add(f"{what} needs an eps that is not negative: {layer.text}")
        elif name is None:
            continue
        elif layer.kind == "Dense":
            parsed.append(Dense(sizes[0], sizes[1], name))
        elif layer.kind == "activation":
            parsed.append(Activation(name))
        else:
            parsed.append(Normalization(layer.kind, sizes[0], name, float(epsilon)))
    return parsed


def _activation(layer: _Written, what: str, problems: Problems) -> str | None:
    written = layer.activation
    name = canonical(written, layer.flux) if isinstance(written, str) else None
    if name is None:
        problems.add(
            f"{what} has no usual activation: '{written}'{closest(str(written), ACTIVATIONS)}; "
            f"there are {', '.join(ACTIVATIONS)}"
        )
    return name


def _read_text(text: str) -> list[_Written]:
    usage = f"{_USAGE}; got: {text}"
    python = text.strip()
    for pattern, replacement in _NOT_PYTHONS.items():
        python = re.sub(pattern, replacement, python)
    try:
        tree = ast.parse(python, mode="eval").body  # parsed, never evaluated
        calls = _members(tree, usage)
        return [_written(call, number) for number, call in enumerate(calls, start=1)]
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UsageError(usage) from error


def _members(tree: ast.expr, usage: str) -> list[ast.expr]:
    """Return what a chain, or a list, is made of; anything else is a chain of one."""
    if isinstance(tree, ast.Call) and getattr(tree.func, "id", None) == "Chain":
        if tree.keywords:
            names = ", ".join(str(keyword.arg) for keyword in tree.keywords)
            raise UsageError(f"{usage}; layers have no names here: {names}")
        return tree.args
    return tree.elts if isinstance(tree, ast.Tuple | ast.List) else [tree]


def _written(call: ast.expr, number: int) -> _Written:
    text = ast.unparse(call)
    if isinstance(call, ast.Name):
        return _Written("activation", text, flux=True, activation=call.id)
    kind = getattr(call.func, "id", None) if isinstance(call, ast.Call) else None
    if not isinstance(call, ast.Call) or kind not in _KNOWN:
        raise UsageError(
            f"{_USAGE}; layer {number} is none that is known: {text}; there are "
            f"{', '.join(_KNOWN)}, and activations"
        )
    options = {keyword.arg: _value(keyword.value) for keyword in call.keywords}
    arguments = [_value(node) for node in call.args]
    if kind == "SkipConnection":
        if options or len(arguments) != 2 or arguments[1] != "add":
            raise UsageError(
                f"network.layers: layer {number} reads like SkipConnection(Chain(...), +): {text}"
            )
        inner = [
            _written(part, place)
            for place, part in enumerate(_members(call.args[0], text), start=1)
        ]
        return _Written(kind, text, flux=True, inner=inner)
    sizes = 2 if kind == "Dense" else 1
    allowed = {"activation"} | (set() if kind == "Dense" else set(_EPSILONS))
    if len(arguments) > sizes + 1 or options.keys() - allowed:
        raise UsageError(
            f"network.layers: layer {number} has an option that is no activation"
            + ("" if kind == "Dense" else " and no eps")
            + f": {text}"
        )
    activation = options.get("activation", (arguments[sizes:] or ["identity"])[0])
    return _Written(kind, text, True, arguments[:sizes], activation, _epsilon(options))


def _value(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node)


def _epsilon(options: Mapping[Any, Any]) -> Any:
    return next((options[name] for name in _EPSILONS if name in options), None)


def _read_mappings(layers: Sequence[str | Mapping[str, Any]]) -> list[_Written]:
    written: list[_Written] = []
    for number, layer in enumerate(layers, start=1):
        if isinstance(layer, str):
            written += _read_text(layer)
        else:
            written.append(_of_mapping(layer, number))
    return written


def _of_mapping(layer: Any, number: int) -> _Written:
    if not isinstance(layer, Mapping):
        raise UsageError(f"network.layers: layer {number} must have in, out; got {layer}")
    text, keys = str(dict(layer)), set(layer)
    activation = layer.get("activation") or "identity"
    if {"in", "out"} <= keys <= {"in", "out", "activation"}:
        return _Written("Dense", text, False, [layer["in"], layer["out"]], activation)
    if keys == {"activation"}:
        return _Written("activation", text, flux=False, activation=activation)
    if keys == {"skip"} and isinstance(layer["skip"], Sequence):
        inner = layer["skip"]
        inner = _read_text(inner) if isinstance(inner, str) else _read_mappings(inner)
        return _Written("SkipConnection", text, flux=False, inner=inner)
    norms = keys & _NORMALIZATIONS.keys()
    if len(norms) == 1 and keys <= {*norms, "activation", *_EPSILONS}:
        key = norms.pop()
        return _Written(
            _NORMALIZATIONS[key], text, False, [layer[key]], activation, _epsilon(layer)
        )
    raise UsageError(
        f"network.layers: layer {number} must have in, out and perhaps activation; or "
        f"{', '.join(_NORMALIZATIONS)} with a size, and perhaps activation and eps; or skip with "
        f"layers; got {text}"
    )
