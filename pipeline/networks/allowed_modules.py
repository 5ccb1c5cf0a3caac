"""The policy of a site: the modules that a network's code may come from.

A YAML file, written by whoever runs the machine, says so:

    allowed_modules: [mycompany.*, othernets.surrogates]

`mycompany.*` is that package and all in it. The file is `/etc/hyperdiag/site.yaml`, and the one
that the variable HYPERDIAG_SITE names; where there are both, both must allow a module. No override
reaches them. This is a rule about names, for people who mean well: whoever can put a module of an
allowed name into Python's path, or run Python without this program, is not held back by it.
"""

import inspect
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.validation import sentences

VARIABLE = "HYPERDIAG_SITE"
EVERYWHERE = Path("/etc/hyperdiag/site.yaml")


class _SitePolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allowed_modules: list[Annotated[str, Field(min_length=1)]]


def check_module(name: str, what: str) -> None:
    """Check that the site allows a module, before it is imported.

    Args:
        name: of the module, with dots.
        what: names it: "network.target", say.

    Raises:
        UsageError: if it does not, or a site file cannot be read.
    """
    for path, policy in _site_policies():
        allowed = policy.allowed_modules
        if not any(_matches(name, pattern) for pattern in allowed):
            raise UsageError(
                f"{what}: this site does not allow the module {name} ({path}: allowed_modules has "
                f"{listed(allowed) or 'none'}); whoever runs the machine can add it there"
            )


def check_site_policy() -> None:
    """Check that the policy of the site can be read, whatever network is asked for.

    Raises:
        UsageError: if it cannot.
    """
    list(_site_policies())


def check_builder(builder: Any, what: str) -> None:
    """Check that a function or class was made in an allowed module, not only imported into one.

    Raises:
        UsageError: if it was not.
    """
    if inspect.isroutine(builder) or inspect.isclass(builder):
        check_module(getattr(builder, "__module__", None) or "builtins", what)


def _site_policies() -> Iterator[tuple[Path, _SitePolicy]]:
    if by_variable := os.environ.get(VARIABLE):
        yield Path(by_variable), _read(Path(by_variable))
    if EVERYWHERE.exists():
        yield EVERYWHERE, _read(EVERYWHERE)


def _read(path: Path) -> _SitePolicy:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _SitePolicy.model_validate(values)
    except ValidationError as error:
        complaints = sentences(error.errors(), values, lambda _: list(_SitePolicy.model_fields))
        raise UsageError([f"site file {path}: {sentence}" for sentence in complaints]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"site file {path} cannot be read ({reason}): it says which modules are allowed, and "
            f"nothing runs without; mend it, or the variable {VARIABLE}"
        ) from error


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or pattern == f"{name}.*"
