"""The packages whose versions decide the bits of an output."""

from importlib import metadata

_DECIDE_BITS = ("hyperdiag", "jax", "jaxlib", "numpy", "pyarrow", "scipy")


def versions() -> dict[str, str]:
    """Return the versions, as installed here, of all that decides the bits of an output."""
    return {name: metadata.version(name) for name in _DECIDE_BITS}
