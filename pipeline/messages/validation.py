"""pydantic's complaints in our words: the key, what it must be, what was given."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from .errors import closest
from .masking import masked_values

Record = TypeVar("Record")


def validated(adapter: TypeAdapter[Record], values: Any) -> Record:
    """Return plain values as what an adapter is for.

    Raises:
        ValueError: with a sentence for each value that is missing, unknown or unusable.
    """
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ValueError("; ".join(sentences(error.errors(), values, lambda _: []))) from error


def sentences(
    errors: Iterable[Any], values: Any, keys_beside: Callable[[str], Sequence[str]]
) -> list[str]:
    """Return a sentence for each value that is wrong.

    Args:
        errors: of a `pydantic.ValidationError`.
        values: what was validated.
        keys_beside: from the first part of an unknown key to the keys that exist there.
    """
    musts_by_key: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        key, must, got = _complaint(error, values, keys_beside)
        musts_by_key.setdefault((key, got), []).append(must)  # a union complains for each member
    return [
        f"{key} {' or '.join(dict.fromkeys(musts)).replace(' or must be', ', or')}{got}"
        for (key, got), musts in musts_by_key.items()
    ]


def _complaint(
    error: Any, values: Any, keys_beside: Callable[[str], Sequence[str]]
) -> tuple[str, str, str]:
    """Return a complaint in three parts, of which a union shares the first and the last."""
    where = [str(part) for part in error["loc"]]
    if len(where) > 1 and where[0] == "dataset" and where[1] in ("parquet", "quarantine", "design"):
        del where[1]  # the tag of the union, which is no key
    node: Any = values
    depth = 0
    for part in where:  # a union adds the names of its members, which are no keys either
        inside = isinstance(node, Mapping) and part in node
        inside = inside or (isinstance(node, list) and part.isdigit() and int(part) < len(node))
        if not inside:
            break
        node = node[part] if isinstance(node, Mapping) else node[int(part)]
        depth += 1
    key = ".".join(where[: max(depth, 1)])
    if error["type"] == "missing":
        return ".".join(where), "is required", ""
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return key, f"is no key here{closest(where[-1], keys_beside(where[0]))}", ""
    got = f"; got {json.dumps(masked_values(error['input']), default=str)}"
    if error["type"] == "literal_error":
        options = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = closest(str(error["input"]), options)
        return key, f"must be one of {', '.join(options)}", f"{got}{near}"
    text = error["msg"].removeprefix("Input should be ").replace("a valid ", "a ")
    return key, f"must be {text}".replace("a integer", "an integer"), got
