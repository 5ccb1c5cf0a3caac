"""Arguments of a node as the file has them: numbers, names of arrays, and lists of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from .archive import DTYPES, TorchError

_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_STRIDED = 7  # the one layout of arrays that is computed
# A number where an operator takes an array; not of the file. The exporter to ONNX rounds them
# to float32, whatever the type of the arrays is.
FLOAT_AS_ARRAY = "float as array"
_KEEPS = frozenset({"as_int", "as_bool", "as_ints", "as_bools", "as_string", "as_strings"})
_NAMED = frozenset({"as_sym_int", "as_sym_float", "as_sym_bool"})


def raised(dtype: torch.dtype, real: torch.dtype | None) -> torch.dtype:
    """Return a dtype; the given one for every floating-point type, and its complex one."""
    if real is None or not (dtype.is_floating_point or dtype.is_complex):
        return dtype
    return real.to_complex() if dtype.is_complex else real


def argument_of(argument: Any, values: Mapping[str, Any], real: torch.dtype | None) -> Any:
    """Return what an argument stands for.

    Args:
        argument: as the file has it, {kind: value}.
        values: {name: array or number} of what was computed before.
        real: the dtype that stands for every floating-point type; None: as in the file.

    Raises:
        TorchError: if it is none that is computed with.
    """
    ((kind, value),) = argument.items()
    if kind in _KEEPS:
        _check_plain(value)
        return list(value) if isinstance(value, list) else value
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_optional_tensor"):
        return _array(value if "name" in value else value.get("as_tensor"), values)
    if kind in ("as_tensors", "as_optional_tensors"):
        return [_array(item if "name" in item else item.get("as_tensor"), values) for item in value]
    if kind in ("as_float", "as_floats"):
        return [float(item) for item in value] if isinstance(value, list) else float(value)
    if kind == FLOAT_AS_ARRAY:
        return float(value) if real is None else torch.tensor(float(value), dtype=real)
    if kind in _NAMED:
        return _number(value, values)
    if kind.removesuffix("s") in _NAMED:
        return [_number(item, values) for item in value]
    if kind == "as_scalar_type" and value in DTYPES:
        return raised(getattr(torch, DTYPES[value][1]), real)
    if kind == "as_device":
        return torch.device("cpu")
    if kind == "as_memory_format" and value in _MEMORY_FORMATS:
        return _MEMORY_FORMATS[value]
    if kind == "as_layout" and value == _STRIDED:
        return torch.strided
    if kind == "as_complex":
        return complex(float(value["real"]), float(value["imag"]))
    raise TorchError(f"an argument of the kind {str(kind)[:40]} is not computed with")


def _check_plain(value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, int | str) or (isinstance(item, int) and abs(item) >= 1 << 63):
            raise TorchError(f"a number of its graph is out of range: {str(item)[:40]}")


def _array(value: Any, values: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if value["name"] not in values:
        raise TorchError(f"is damaged: nothing before it gives '{str(value['name'])[:60]}'")
    return values[value["name"]]


def _number(value: Any, values: Mapping[str, Any]) -> Any:
    if "as_name" in value:
        return _array({"name": value["as_name"]}, values)
    ((_, number),) = value.items()
    _check_plain(0 if isinstance(number, float) else number)
    return number


def names_in(argument: Any) -> Iterator[str]:
    """Return the names of arrays and numbers in an argument or a result."""
    if isinstance(argument, list):
        for item in argument:
            yield from names_in(item)
    elif isinstance(argument, dict):
        for key, item in argument.items():
            if key in ("name", "as_name") and isinstance(item, str):
                yield item
            elif key != "as_graph":
                yield from names_in(item)


def texts_of(graph_module: Mapping[str, Any], results: Sequence[str | None]) -> list[str | None]:
    """Return what the results are called: by the keys of a dictionary, else by their nodes.

    Args:
        graph_module: as the file has it.
        results: names of nodes; None for what is no array.
    """
    texts: list[str | None] = [name and str(name) for name in results]
    try:
        spec = json.loads(graph_module["module_call_graph"][0]["signature"]["out_spec"])[1]
        if spec["type"] == "builtins.dict":
            keys = [str(key) for key in json.loads(spec["context"])]
            leaves = [
                text
                for key, child in zip(keys, spec["children_spec"], strict=True)
                for text in _leaves(key, child, 0)
            ]
            if len(leaves) == len(results) == len(set(leaves)) and all(leaves):
                texts = [leaf if name else None for leaf, name in zip(leaves, results, strict=True)]
    except (KeyError, TypeError, IndexError, ValueError):
        pass  # named by their nodes
    seen: dict[str, int] = {}
    for at, text in enumerate(texts):
        if text is not None:
            seen[text] = seen.get(text, 0) + 1
            texts[at] = text if seen[text] == 1 else f"{text}_{seen[text]}"
    return texts


def _leaves(text: str, spec: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > 20:
        raise ValueError(text)
    children = spec["children_spec"]
    if spec["type"] is None:
        yield text
    keys = json.loads(spec["context"]) if spec["type"] == "builtins.dict" else None
    for at, child in enumerate(children):
        key = keys[at] if keys is not None else at + 1
        yield from _leaves(f"{text}_{key}", child, depth + 1)
