"""What configuration may say to Hydra itself: nothing that names code, or another environment.

Hydra imports and calls whatever stands as `_target_` in its own section, `hydra`, before a job
begins; its logging names classes; variables of the environment may be set there, and the search
path may be a package, which is imported. A file in a folder of configuration reaches all of that as
well as an override does, so that the composed section is looked at, however it came about.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hyperdiag.jobs._sweep import Masked
from hyperdiag.messages.errors import Problems, UsageError
from hyperdiag.networks.site_policy import check_module

_CALLBACK = f"{Masked.__module__}.{Masked.__qualname__}"
_LAUNCHERS = "hydra._internal.core_plugins."
_PLUGINS = "hydra_plugins."  # the package that launchers and sweepers of others are installed in
_QUIET: dict[str, Any] = {"version": 1, "root": None, "disable_existing_loggers": False}
# What must stay as `conf/_console.yaml` or Hydra has it, and what that is for.
_FIXED: dict[str, tuple[Any, str]] = {
    "job_logging": (_QUIET, "a command logs by itself, see log.format and log.level"),
    "hydra_logging": (_QUIET, "a command logs by itself, see log.format and log.level"),
    "output_subdir": (None, "no record of the overrides, with any credentials, is left behind"),
    "job.chdir": (None, "a command runs in the folder that it is given in"),
    "job.env_set": ({}, "set variables of the environment before the command"),
    "job.env_copy": ([], "set variables of the environment before the command"),
}
_PACKAGE, _OWN_PACKAGE = "pkg://", "pkg://hydra.conf"
_RERUN = "--experimental-rerun"


def check_flags(arguments: Sequence[str]) -> None:
    """Check that no flag of Hydra's on a command line has it unpickle a file.

    Raises:
        UsageError: if one has.
    """
    for argument in arguments:
        name = argument.partition("=")[0]
        # argparse takes the beginnings of flags for them.
        if name.startswith("--e") and _RERUN.startswith(name):
            raise UsageError(
                f"{_RERUN} unpickles a file, which may run anything: give the same overrides again"
            )


def check_search_path(places: Sequence[str]) -> None:
    """Check that configuration is searched for in folders alone.

    Raises:
        UsageError: if a package is among them: to look into one imports it.
    """
    for place in places:
        if place.startswith(_PACKAGE) and place != _OWN_PACKAGE:
            raise UsageError(
                f"hydra.searchpath: {place} is a package, and would be imported: give the folder "
                "of its files, file:///..."
            )


def check_hydra_section(section: DictConfig) -> None:
    """Check Hydra's own section of a composed configuration, before Hydra acts on it.

    Raises:
        UsageError: naming every key that may not be as it is.
    """
    problems = Problems()
    for key, (usual, reason) in _FIXED.items():
        value = _plain(section, key)
        if value != usual and not (value is False and usual is None):
            problems.add(f"hydra.{key} cannot be changed: {reason}")
    for name, callback in (_plain(section, "callbacks") or {}).items():
        if callback != {"_target_": _CALLBACK}:
            problems.add(
                f"hydra.callbacks.{name} cannot be given: Hydra would import and call what it names"
            )
    for key in ("launcher", "sweeper"):
        problems.attempt(_check_plugin, key, _plain(section, key))
    problems.check()


def _plain(section: DictConfig, key: str) -> Any:
    """Return a part of the section as plain values; an interpolation stays what it is."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(section, parent) if parent else section
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)
    return values[name]


def _check_plugin(key: str, settings: Any) -> None:
    """Check that a launcher or sweeper is Hydra's own, or one that is installed and allowed."""
    own, *others = [*_targets(settings)] or [""]
    if own.startswith(_LAUNCHERS) and not others:
        return
    if not own.startswith(_PLUGINS):
        raise UsageError(
            f"hydra.{key}._target_={own} is no {key} of Hydra's, nor one of a package that is "
            f"installed for it (hydra/{key}=...)"
        )
    for target in (own, *others):
        check_module(target.rpartition(".")[0], f"hydra.{key}: {target}")


def _targets(value: Any) -> Iterator[str]:
    """Yield what Hydra would import in a tree of settings, from the outside in."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield str(value["_target_"])
        for inner in value.values():
            yield from _targets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _targets(inner)
