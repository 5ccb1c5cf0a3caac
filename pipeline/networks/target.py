"""A user's own function or builder, found by `package.module:name` where the site allows it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hyperdiag.messages.errors import UsageError, closest

from .current_folder import import_target
from .site_policy import check_builder, check_module, has_policy


def find_target(target: str, key: str, noun: str) -> Any:
    """Import a module, wherever Python finds it or else from the current folder, and take a name.

    Args:
        target: `package.module:name`.
        key: of the configuration, that says it: "network.target".
        noun: what it is to be: "builder".

    Raises:
        UsageError: if the target is none, cannot be imported or is not allowed.
    """
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        module_name, _, attribute = target.replace(":", ".").strip(".").rpartition(".")
        meant = f", for {module_name}:{attribute} perhaps" if module_name and attribute else ""
        raise UsageError(f"{key} reads like package.module:{noun}; got '{target}'{meant}")
    what = f"{key}={target}"
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise UsageError(f"{what}: a name in it is none of a module or function in Python")
    _check_not_pythons_own(module_name, what, noun)
    check_module(module_name, what)
    module = _imported(module_name, target, key)
    # A module may make objects up as they are asked for; a site allows what stands in it alone.
    exists = attribute in vars(module) if has_policy() else hasattr(module, attribute)
    if not exists:
        raise UsageError(
            f"{key}: module {module_name} has no '{attribute}'"
            f"{closest(attribute, vars(module))}{_shadowed(module)}"
        )
    builder = getattr(module, attribute)
    check_builder(builder, what)
    return builder


def _check_not_pythons_own(module_name: str, what: str, noun: str) -> None:
    """Check that a target is no function of Python's: a plan of somebody else's may name one.

    Raises:
        UsageError: if it is.
    """
    package = module_name.partition(".")[0]
    if package in sys.stdlib_module_names or package in sys.builtin_module_names:
        raise UsageError(f"{what}: {package} is Python's own, and has no {noun} for this")


def _shadowed(module: ModuleType) -> str:
    """Say that the current folder has a module of the same name, which stands back."""
    package = module.__name__.partition(".")[0]
    places = (Path(f"{package}.py"), Path(package, "__init__.py"))
    beside = next((place for place in places if place.exists()), None)
    file = getattr(module, "__file__", None)
    if beside is None or file is None or Path(file).is_relative_to(Path.cwd()):
        return ""
    return (
        f"; {beside} in the current folder is not looked at, since {file} is in Python's path: "
        "give it another name"
    )


def _imported(module_name: str, target: str, key: str) -> ModuleType:
    try:
        return import_target(module_name)
    except ModuleNotFoundError as error:
        if error.name is None:  # raised by the module itself, with a sentence of its own
            raise UsageError(f"{key}: importing {module_name} failed: {error}") from error
        if f"{module_name}.".startswith(f"{error.name}."):
            places = "Python's path"
            if not has_policy():  # which leaves it out
                places = f"the current folder and in {places}"
            raise UsageError(
                f"{key}: no module '{error.name}' (looked in {places}) for {target}"
            ) from error
        raise UsageError(
            f"{key}: {module_name} imports {error.name}, which is not installed"
        ) from error
    except Exception as error:  # a user's module may raise anything while it is imported
        raise UsageError(
            f"{key}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
