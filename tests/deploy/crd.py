"""Custom resources held against the published definition of their kind.

The API server drops a field that the definition does not have, without a word; here it is a fault.
"""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml


@cache
def _schema(folder: Path, kind: str) -> dict[str, Any]:
    (path,) = folder.glob(f"ray.io_{kind.lower()}s.yaml")
    # The files are of a megabyte each, and the plain loader takes half a minute for one.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    versions = yaml.load(path.read_text(), loader)["spec"]["versions"]
    (version,) = [one for one in versions if one["name"] == "v1"]
    assert version["served"]
    schema = version["schema"]["openAPIV3Schema"]
    # Of these the API server knows the fields by itself.
    schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """Return a schema that allows an object the fields that it names, and no others."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        closed["properties"] = {key: _closed(one) for key, one in schema["properties"].items()}
    for key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf"):
        if key in schema:
            closed[key] = _closed(schema[key])
    if (
        schema.get("type") == "object"
        and "additionalProperties" not in schema
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        closed["additionalProperties"] = False
    return closed


def faults(thing: dict[str, Any], folder: Path) -> list[str]:
    """Return what is wrong with a custom resource.

    Args:
        thing: the resource.
        folder: of the definitions.
    """
    schema = _schema(folder, thing["kind"])
    assert thing["apiVersion"] == "ray.io/v1"
    found = jsonschema.Draft7Validator(schema).iter_errors(thing)
    texts = [f"{'.'.join(map(str, one.absolute_path))}: {one.message[:300]}" for one in found]
    return texts + list(_twice(thing, schema, ""))


def _twice(value: Any, schema: dict[str, Any], path: str) -> Any:
    """Yield the entries that two elements of a list share which must tell them apart."""
    if isinstance(value, dict):
        named = schema.get("properties", {})
        other = schema.get("additionalProperties")
        for key, inner in value.items():
            below = named.get(key, other)
            if isinstance(below, dict):
                yield from _twice(inner, below, f"{path}.{key}")
    elif isinstance(value, list):
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys:
            seen = [tuple(one.get(key) for key in keys) for one in value]
            yield from (f"{path}: {one} twice" for one in set(seen) if seen.count(one) > 1)
        for position, inner in enumerate(value):
            yield from _twice(inner, schema["items"], f"{path}.{position}")
