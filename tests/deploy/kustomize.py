"""The part of kustomize that the manifests use, and no more: what it does not know, it refuses."""

import copy
from pathlib import Path
from typing import Any

import yaml

_KNOWN = {
    *("apiVersion", "kind", "resources", "configMapGenerator", "generatorOptions", "images"),
    *("patches", "replacements"),
}
_LOCAL = "config.kubernetes.io/local-config"


def render(folder: Path) -> list[dict[str, Any]]:
    """Return the objects that `kustomize build` makes of a folder, in any order."""
    return [one for one in _build(folder) if _LOCAL not in one["metadata"].get("annotations", {})]


def _build(folder: Path) -> list[dict[str, Any]]:
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(plan) <= _KNOWN, f"{folder}: {set(plan) - _KNOWN}"
    objects: list[dict[str, Any]] = []
    for name in plan["resources"]:
        path = folder / name
        # An anchor must not make one object of two.
        objects += _build(path) if path.is_dir() else copy.deepcopy(_documents(path))
    for generator in plan.get("configMapGenerator", []):
        assert plan["generatorOptions"] == {"disableNameSuffixHash": True}
        _generate(generator, folder, objects)
    for patch in plan.get("patches", []):
        assert set(patch) in ({"target", "patch"}, {"target", "path"})
        text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
        (target,) = _select(objects, patch["target"])
        for operation in yaml.safe_load(text):
            _apply(target, operation)
    for replacement in plan.get("replacements", []):
        source = dict(replacement["source"])
        field = source.pop("fieldPath")
        (found,) = _select(objects, source)
        for target in replacement["targets"]:
            (goal,) = _select(objects, target["select"])
            for path in target["fieldPaths"]:
                *parents, last = path.split(".")
                for key in parents:
                    goal = goal[key]
                assert last in goal  # without `create`, kustomize makes no field
                goal[last] = copy.deepcopy(found[field])
    for image in plan.get("images", []):
        assert set(image) == {"name", "newTag"}
        for one in objects:
            _retag(one, image["name"], image["newTag"])
    return objects


def _documents(path: Path) -> list[dict[str, Any]]:
    return [_unshared(one) for one in yaml.safe_load_all(path.read_text())]


def _unshared(value: Any) -> Any:
    """Return a value in which what an anchor shares is there twice."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def _select(objects: list[dict[str, Any]], target: dict[str, str]) -> list[dict[str, Any]]:
    assert set(target) == {"kind", "name"}
    return [
        one
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == (target["kind"], target["name"])
    ]


def _generate(generator: dict[str, Any], folder: Path, objects: list[dict[str, Any]]) -> None:
    data = {name: (folder / name).read_text() for name in generator["files"]}
    there = _select(objects, {"kind": "ConfigMap", "name": generator["name"]})
    if generator.get("behavior") == "merge":
        there[0]["data"] |= data
        return
    assert not there
    metadata = {"name": generator["name"]}
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _apply(target: Any, operation: dict[str, Any]) -> None:
    """Apply an operation of JSON Patch (RFC 6902)."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for key in keys[:-1]:
        target = target[int(key) if isinstance(target, list) else key]
    assert isinstance(target, dict)
    assert operation["op"] in ("add", "replace")
    assert operation["op"] == "add" or keys[-1] in target, f"nothing at {operation['path']}"
    target[keys[-1]] = operation["value"]


def _retag(value: Any, name: str, tag: str) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("image"), str) and value["image"].partition(":")[0] == name:
            value["image"] = f"{name}:{tag}"
        for inner in value.values():
            _retag(inner, name, tag)
    elif isinstance(value, list):
        for inner in value:
            _retag(inner, name, tag)
