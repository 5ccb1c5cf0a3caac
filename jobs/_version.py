"""The versions that a result depends on."""

import platform

from hyperdiag.run.plan.versions import versions


def version_line() -> str:
    """Return the version of this program, of Python, and of what decides the bits of results."""
    first, *others = (f"{name} {version}" for name, version in versions().items())
    return f"{first} (Python {platform.python_version()}, {', '.join(others)})"
