"""The policy of a site: what an override, a dataset or a shared folder may make this program do.

A YAML file, written by whoever runs the machine, says so:

    allowed_modules: [mycompany.*, othernets.surrogates]
    allowed_commands: [/usr/bin/notify-send]
    allowed_hosts: [hooks.example.com, "10.1.2.3:6379"]
    allowed_variables: [WEBHOOK]

`mycompany.*` is that package and all in it. The file is `/etc/hyperdiag/site.yaml`, and the one
that the variable HYPERDIAG_SITE names; where there are both, both must allow a thing. No override
reaches them. What a file does not name it does not allow. `README.md` says who is held back by it,
and who is not.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.validation import sentences

VARIABLE = "HYPERDIAG_SITE"
EVERYWHERE = Path("/etc/hyperdiag/site.yaml")

_Names = list[Annotated[str, Field(min_length=1)]]


class _SitePolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allowed_modules: _Names
    allowed_commands: _Names = []
    allowed_hosts: _Names = []
    allowed_variables: _Names = []


def has_policy() -> bool:
    """Return whether this site has a policy.

    Raises:
        UsageError: if it has one that cannot be read.
    """
    return bool(list(_site_policies()))


def check_module(name: str, what: str) -> None:
    """Check that the site allows a module, before it is imported.

    Args:
        name: of the module, with dots.
        what: names it: "network.target", say.

    Raises:
        UsageError: if it does not, or a site file cannot be read.
    """
    _check(
        *(what, f"the module {name}", "modules"),
        lambda allowed: any(_matches(name, pattern) for pattern in allowed),
    )


def check_builder(builder: Any, what: str) -> None:
    """Check that what builds a network is a function or class of an allowed module.

    One that a module only imported belongs to the module that made it. Of an object that can be
    called (`functools.partial`, a bound method) nobody can say what it does.

    Raises:
        UsageError: if it is not.
    """
    if not has_policy():
        return
    check_module(getattr(builder, "__module__", None) or "builtins", what)
    if not isinstance(builder, FunctionType) and not inspect.isclass(builder):
        raise UsageError(
            f"{what}: it is a {type(builder).__name__}, and this site allows functions and classes "
            "alone: write a function that calls it, with `def`, in the allowed module"
        )


def check_command(program: str, what: str) -> None:
    """Check that the site allows a program to be started.

    Raises:
        UsageError: if it does not.
    """
    _check(what, f"the program {program}", "commands", lambda allowed: program in allowed)


def check_host(address: str, what: str) -> None:
    """Check that the site allows a host to be talked to.

    Args:
        address: a URL, or `host:port`. A site lists `host`, for all ports, or `host:port`.
        what: names it.

    Raises:
        UsageError: if it does not.
    """
    place = urlsplit(address if "//" in address else f"//{address}").netloc.rpartition("@")[2]
    names = {place, place.rpartition(":")[0] or place}
    _check(what, f"the host {place}", "hosts", lambda allowed: not names.isdisjoint(allowed))


def check_variable(name: str, what: str) -> None:
    """Check that the site allows a configuration to read a variable of the environment.

    Raises:
        UsageError: if it does not.
    """
    _check(what, f"the variable {name}", "variables", lambda allowed: name in allowed)


def check_unlimited(what: str, mend: str) -> None:
    """Check that this site has no policy, where no list could say what something does.

    Raises:
        UsageError: if it has one.
    """
    for path, _ in _site_policies():
        raise UsageError(f"{what}: this site does not allow it ({path}); {mend}")


def leave_current_folder() -> None:
    """Take the current folder out of Python's path, where the site has a policy.

    It may be a shared one, and a folder in it be called as an allowed package is.
    """
    if has_policy():
        here = os.path.realpath(Path.cwd())
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or here) != here]


def _check(what: str, thing: str, kind: str, allows: Callable[[list[str]], bool]) -> None:
    """Check that each list of a kind, of every site file, allows a thing."""
    for path, policy in _site_policies():
        allowed: list[str] = getattr(policy, f"allowed_{kind}")
        if not allows(allowed):
            raise UsageError(
                f"{what}: this site does not allow {thing} ({path}: allowed_{kind} has "
                f"{listed(allowed) or 'none'}); whoever runs the machine can add it there"
            )


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
