"""The packages on the cluster: what a run expects there, or has Ray install."""

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from hyperdiag.run.plan.versions import versions

_PYTHON = "python"
# Where Ray unpacks a job's files while it installs packages; it fills this in itself.
_UNPACKED = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"


def environment() -> dict[str, str]:
    """Return the versions, as installed here, that decide the bits of an output."""
    return {_PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}"} | versions()


def is_wheel(package: str) -> bool:
    """Return whether a requirement is a wheel file of this machine."""
    return package.endswith(".whl") and "://" not in package


def requirements(package: str | None, further: Sequence[str] = ()) -> list[str]:
    """Return what pip is to install on the cluster: the versions that are installed here.

    Ray itself is not among them: the cluster's own serves.

    Args:
        package: what hyperdiag is taken from: a requirement, or a wheel, which travels with the
            run; None means this version.
        further: what is to be installed besides.
    """
    ours = package or f"hyperdiag=={metadata.version('hyperdiag')}"
    pinned = {name: metadata.version(name) for name in _needed("hyperdiag")}
    return [
        f"{_UNPACKED}/{Path(ours).name}" if is_wheel(ours) else ours,
        *(f"{name}=={version}" for name, version in sorted(pinned.items())),
        *further,
    ]


def _needed(name: str) -> set[str]:
    """Return all that a package needs, and what that needs, as far as it is installed here."""
    needed: set[str] = set()
    waiting = [name]
    while waiting:
        for requirement in _requirements_of(waiting.pop()) - needed - {"hyperdiag", "ray"}:
            needed.add(requirement)
            waiting.append(requirement)
    return needed


def _requirements_of(name: str) -> set[str]:
    names = set()
    for text in metadata.requires(name) or ():
        match = re.match(r"[A-Za-z0-9._-]+", text)
        assert match is not None
        requirement = re.sub(r"[-_.]+", "-", match.group()).lower()
        if "extra ==" not in text and _is_installed(requirement):
            names.add(requirement)
    return names


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
