"""Interpolations, `${...}`, that lead nowhere: each is named, with what it lacks."""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

import hyperdiag.config.environment_values  # noqa: F401  the resolver of ${oc.env:...}
from hyperdiag.messages.errors import UsageError, closest, first_line


def check_interpolations(composed: DictConfig) -> None:
    """Check that every interpolation of a configuration leads to a value.

    Raises:
        UsageError: naming every key whose interpolation does not.
    """
    keys = list(_keys(OmegaConf.to_container(composed), ""))
    problems = list(_problems(composed, "", keys))
    if not problems:
        try:
            OmegaConf.to_container(composed, resolve=True)
        except (OmegaConfBaseException, RecursionError) as error:
            # Of each by itself nothing was wrong: one that leads to what it is a part of.
            problems.append(interpolation_problem(error))
    if problems:
        raise UsageError(problems)


def interpolation_problem(error: Exception, key: str = "", keys: list[str] | None = None) -> str:
    """Return a sentence for what OmegaConf, or a resolver in it, raised.

    Args:
        error: which.
        key: whose value it was; empty: as the error has it.
        keys: that there are, for the nearest of them.
    """
    key = key or str(getattr(error, "full_key", None) or "the configuration")
    text = first_line(error)
    if isinstance(error, RecursionError) or "Recursive" in text or "parent node" in text:
        return f"{key} refers to itself"
    quoted = re.search(r"'([^']*)'", text)
    if quoted and "Environment variable" in text:
        name = quoted[1]
        return (
            f"{key} needs the environment variable {name}, which is not set; "
            f"${{oc.env:{name},other}} takes other where it is not"
        )
    if quoted and isinstance(error, InterpolationKeyError):
        name = quoted[1]
        return f"{key} refers to {name}, and there is no such key{closest(name, keys or [])}"
    if isinstance(error, InterpolationToMissingValueError):
        name = text.rpartition(" ")[2]
        return f"{key} refers to {name}, which is required: {name}=..."
    if isinstance(error, UnsupportedInterpolationType):
        name = text.rpartition(" ")[2]
        return (
            f"{key} has an interpolation ${{{name}:...}}, of which nothing is known; there are "
            "${key}, ${oc.env:NAME} and ${at:%Y-%m-%d}"
        )
    reason = re.sub(r"^\w+ raised while resolving interpolation: ", "", text)
    return f"{key}: {reason}"


def _keys(values: Any, prefix: str) -> Iterator[str]:
    """Yield the keys of plain values, with dots, at every depth."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield f"{prefix}{name}"
            yield from _keys(value, f"{prefix}{name}.")


def _problems(node: DictConfig | ListConfig, prefix: str, keys: list[str]) -> Iterator[str]:
    """Yield a sentence for each value of a section or a list that cannot be resolved."""
    for name in range(len(node)) if isinstance(node, ListConfig) else list(node):
        key = f"{prefix[:-1]}[{name}]" if isinstance(node, ListConfig) else f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            continue
        interpolated = OmegaConf.is_interpolation(node, name)
        try:
            value = node[name]
        except (OmegaConfBaseException, RecursionError) as error:
            yield interpolation_problem(error, key, keys)
            continue
        if isinstance(value, DictConfig | ListConfig) and not interpolated:
            yield from _problems(value, f"{key}.", keys)
