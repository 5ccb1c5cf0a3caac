"""Overrides from the command line: every one that leads nowhere is named, with the nearest that
leads somewhere.

Hydra stops at the first; a person wants them all.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf

from hyperdiag.config.schema import Config
from hyperdiag.jobs._arguments import FREE
from hyperdiag.jobs._hydra_workarounds import config_loader, parse_flags, searching
from hyperdiag.messages.errors import closest


def check_overrides(config_dir: Path, config_name: str, arguments: Sequence[str]) -> list[str]:
    """Return a sentence for each override that is malformed or leads nowhere.

    Args:
        config_dir: of the jobs' own configuration; `--config-dir` adds another.
        config_name: of the job; `--config-name` takes another in its place.
        arguments: of the command line, Hydra's own flags among them.
    """
    flags = parse_flags(arguments)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion:
        return []  # they print something and stop, whatever the overrides
    if flags.config_path:
        return []  # a configuration of which nothing is known
    user_dir = Path(flags.config_dir).absolute() if flags.config_dir else None
    if user_dir is not None and not user_dir.is_dir():
        return []  # Hydra says so
    with searching(config_dir, config_name, user_dir):
        return find_problems(flags.config_name or config_name, flags.overrides)


def find_problems(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Do the same for overrides alone, in the folders that Hydra, initialised, searches."""
    problems: list[str] = []
    loader = config_loader()
    groups: list[str] = []
    values: list[Override] = []
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException as error:
            problems.append(_unreadable(text, str(error).splitlines()[0]))
            continue
        if override.get_key_element().startswith("hydra"):
            continue
        if _is_group(loader, override):
            problems += _group_problem(loader, override)
            sweep = override.is_sweep_override()
            first = next(override.sweep_string_iterator()) if sweep else None
            groups.append(f"{override.get_key_element()}={first}" if sweep else text)
        else:
            values.append(override)
    if problems:
        return problems
    try:
        base = compose(config_name, groups)
    except HydraException as error:
        return [_not_composed(config_name, " ".join(str(error).split()))]
    OmegaConf.set_struct(base, True)
    for key, times in Counter(override.key_or_group for override in values).items():
        if times > 1 and key in FREE:  # Hydra would put the second into the first
            problems.append(f"{key} is given twice: give it once, as a whole: '{key}={{...}}'")
    problems += _replaced(base, values)
    for override in values:
        problems += _value_problem(base, loader, config_name, override)
    return problems


def _not_composed(config_name: str, reason: str) -> str:
    """Say why a configuration cannot be composed."""
    match = re.match(r"Could not override '(\w+)'\. No match in the defaults list", reason)
    if not match or match[1] not in (*Config.model_fields, "cost", "submit", "log"):
        return reason  # of a group of the user's, `+group=option` adds it
    keys = map(str, compose(config_name))
    return f"{config_name} takes no {match[1]}=...; there are: {', '.join(keys)}"


def _unreadable(text: str, reason: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"`{text}` has no '=': write key=value"
    detail = "" if "Exception" in reason else f" ({reason})"  # the name of a class helps nobody
    return (
        f"cannot read the override `{text}`{detail}; values with '=', spaces or other signs need "
        f"quotes: \"{key}='{value}'\""
    )


def _is_group(loader: ConfigLoader, override: Override) -> bool:
    return override.key_or_group in loader.list_groups("")


def _group_problem(loader: ConfigLoader, override: Override) -> list[str]:
    options = loader.get_group_options(override.key_or_group, results_filter=ObjectType.CONFIG)
    return [
        f"{override.key_or_group}={value}: no such {override.key_or_group}"
        f"{closest(value, options)}; there are {', '.join(options)}"
        for value in _values(override)
        if value not in options and not (override.key_or_group == "network" and value == "null")
    ]


def _values(override: Override) -> list[str]:
    """Return what a group is to be, in Hydra's grammar: several options in a sweep or a list."""
    if override.is_sweep_override():
        # Each may be a list, too.
        texts = [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
        parsed = OverridesParser.create().parse_overrides(texts)
        return [value for each in parsed for value in _values(each)]
    if override.is_delete():
        return []
    value = override.value()
    if isinstance(value, list):
        return [str(option) for option in value]
    return [override.get_value_element_as_str()]


def _elsewhere(base: DictConfig, loader: ConfigLoader, config_name: str, key: str) -> str:
    """Say which other option of a key's group has it."""
    group = key.partition(".")[0]
    if group not in base or group not in loader.list_groups(""):
        return ""
    for option in loader.get_group_options(group, results_filter=ObjectType.CONFIG):
        if _leads_somewhere(compose(config_name, [f"{group}={option}"])[group], key.split(".")[1:]):
            return f" (a key of {group}={option})"
    return ""


def _leads_somewhere(node: Any, path: Sequence[str]) -> bool:
    """Return whether a section has a key, or one that the path goes on from."""
    for part in path:
        if not isinstance(node, DictConfig):
            return node is not None
        if part not in map(str, node):
            return False
        node = MISSING if OmegaConf.is_missing(node, part) else node[part]
    return True


def _replaced(base: DictConfig, values: Sequence[Override]) -> list[str]:
    """Say which keys are given whose whole section another override replaces by a value."""
    plain = {
        v.key_or_group
        for v in values
        if not v.is_delete()
        and isinstance(v.value(), str)
        and isinstance(OmegaConf.select(base, v.key_or_group), DictConfig)
    }
    return [
        f"{key} is given, and {section}=... takes the place of the whole section: give its keys "
        f"one by one, as {key}"
        for key in (override.key_or_group for override in values)
        for section in sorted(plain)
        if key.startswith(f"{section}.")
    ]


def _value_problem(
    base: DictConfig, loader: ConfigLoader, config_name: str, override: Override
) -> list[str]:
    key = override.key_or_group
    for free in FREE:
        if key.startswith(f"{free}."):
            key = free
    if override.is_force_add() and key.partition(".")[0] not in base:
        return []  # a section that is new here: who reads it knows its keys
    node: Any = base
    path: list[str] = []
    for part in key.split("."):
        known = [*map(str, node.keys())] if isinstance(node, DictConfig) else []  # missing ones too
        if part not in known:
            prefix = ".".join([*path, ""])
            near = closest(part, known).replace("'", f"'{prefix}", 1)
            place = f"{'.'.join(path)} has" if path else "there are"
            elsewhere = _elsewhere(base, loader, config_name, key)
            return [f"unknown key '{key}'{near}{elsewhere}; {place}: {', '.join(known) or 'none'}"]
        path.append(part)
        node = None if OmegaConf.is_missing(node, part) else node[part]
    return []
