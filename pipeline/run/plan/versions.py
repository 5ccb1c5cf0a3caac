"""The packages whose versions decide the bits of an output."""

from collections.abc import Mapping
from importlib import metadata

_DECIDE_BITS = ("hyperdiag", "jax", "jaxlib", "numpy", "pyarrow", "scipy")


def versions() -> dict[str, str]:
    """Return the versions, as installed here, of all that decides the bits of an output."""
    return {name: metadata.version(name) for name in _DECIDE_BITS}


def jax_hint(network: str, planned: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what is to be said beside a digest that differs; "" if it cannot be JAX's doing.

    Args:
        network: its name; the digest of a Python function is taken over what JAX traces.
        planned, now: the versions.
    """
    if network != "python" or planned.get("jax") == now.get("jax"):
        return ""
    return " (another JAX may trace the same function otherwise)"


def differences(planned: Mapping[str, str]) -> list[str]:
    """Return which versions are others here than in a plan: ["jax 0.12.0 instead of 0.10.2"]."""
    here = versions()
    return [
        f"{name} {here.get(name, '(none)')} instead of {version}"
        for name, version in planned.items()
        if here.get(name) != version
    ]
