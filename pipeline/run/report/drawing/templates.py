"""Figures that are written down once, and drawn of each output by Python and by the page alike.

A template is a figure as Plotly takes it, but for texts that begin with a sign:

"@path"                 what a record has at a path of keys and positions, joined by dots
"@a - b * 2 / c"        arithmetic, entry by entry, from left to right; null where an operand is;
                        "a min b" is the lesser one, "a above b" is a where it is larger, else null
"?a"                    as "@a", but a key without it, and no trace, is left out where it is missing
"$name"                 a colour of the palette

A trace that refers to what a record does not have, or to a list of nothing but null, is left out,
and so is a key elsewhere. Of the lists that a trace names under "complete", the places where any of
them is null are left out: a bar without a base, say, would begin at zero.
`browser/templates.js` does the same in the page.
"""

from collections.abc import Callable, Mapping
from typing import Any

COMPLETE = "complete"
_MISSING = object()
_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else float("nan"),
    "min": min,
    "above": lambda a, b: a if a > b else float("nan"),
}


def filled(
    template: Mapping[str, Any], record: Mapping[str, Any], palette: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a figure: its `data`, a list of traces, and its `layout`.

    Args:
        template: of the figure.
        record: what it refers to.
        palette: colours by name.
    """
    traces = [_filled(trace, record, palette, whole=True) for trace in template["data"]]
    return {
        "data": [_completed(trace) for trace in traces if trace is not _MISSING],
        "layout": _filled(template["layout"], record, palette, whole=False),
    }


def _completed(trace: dict[str, Any]) -> dict[str, Any]:
    """Leave out of the lists under "complete" the places where any of them is null."""
    keys = trace.get(COMPLETE, [])
    lists = [trace[key] for key in keys]
    kept = [entries for entries in zip(*lists, strict=True) if None not in entries]
    shorter = {key: [entries[at] for entries in kept] for at, key in enumerate(keys)}
    return {key: shorter.get(key, each) for key, each in trace.items() if key != COMPLETE}


def _filled(part: Any, record: Mapping[str, Any], palette: Mapping[str, Any], whole: bool) -> Any:
    """Fill in a part of a template; `whole`: missing as soon as something in it is."""
    if isinstance(part, Mapping):
        entries = {key: _filled(each, record, palette, whole) for key, each in part.items()}
        needed = (each for key, each in entries.items() if not _is_optional(part[key]))
        if whole and any(each is _MISSING for each in needed):
            return _MISSING
        return {key: each for key, each in entries.items() if each is not _MISSING}
    if isinstance(part, list | tuple):
        items = [_filled(each, record, palette, whole) for each in part]
        return _MISSING if any(each is _MISSING for each in items) else items
    if isinstance(part, str) and part.startswith(("@", "?")):
        value = _evaluated(part[1:].split(" "), record)
        return _MISSING if _is_empty(value) else value
    if isinstance(part, str) and part.startswith("$"):
        return palette[part[1:]]
    return part


def _is_optional(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("?")


def _is_empty(value: Any) -> bool:
    """Return whether a list, or one of lists, says nothing."""
    return isinstance(value, list) and all(each is None or _is_empty(each) for each in value)


def _evaluated(words: list[str], record: Mapping[str, Any]) -> Any:
    result = _operand(words[0], record)
    for sign, word in zip(words[1::2], words[2::2], strict=True):
        other = _operand(word, record)
        if result is _MISSING or other is _MISSING:
            return _MISSING
        result = _combined(_OPERATIONS[sign], result, other)
    return result


def _operand(word: str, record: Mapping[str, Any]) -> Any:
    if word[0].isdigit():
        return float(word)
    value: Any = record
    for key in word.split("."):
        if isinstance(value, Mapping):
            value = value.get(key, _MISSING)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def _combined(operation: Callable[[float, float], float], left: Any, right: Any) -> Any:
    if isinstance(left, list) or isinstance(right, list):
        length = len(left) if isinstance(left, list) else len(right)
        lefts = left if isinstance(left, list) else [left] * length
        rights = right if isinstance(right, list) else [right] * length
        return [_combined(operation, a, b) for a, b in zip(lefts, rights, strict=True)]
    if left is None or right is None:
        return None
    result = operation(left, right)
    return result if result == result else None  # not a number: 0/0
