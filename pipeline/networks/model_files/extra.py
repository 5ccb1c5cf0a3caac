"""Packages that only some networks need."""

from collections.abc import Iterator
from contextlib import contextmanager

from hyperdiag.messages.errors import UsageError


@contextmanager
def needs(network: str, *packages: str) -> Iterator[None]:
    """Say which extra has the packages that are imported in the block, where one is missing.

    Args:
        network: what configuration calls it; its extra has the same name.
        packages: that it needs, as they are imported.

    Raises:
        UsageError: if one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in packages:
            raise
        raise UsageError(
            f"network '{network}' needs the package {missing}: pip install 'hyperdiag[{network}]'"
        ) from error
