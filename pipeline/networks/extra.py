"""Packages that only some networks need."""

from collections.abc import Iterator
from contextlib import contextmanager

from hyperdiag.messages.errors import UsageError


@contextmanager
def needs(extra: str, *packages: str) -> Iterator[None]:
    """Say which extra has the packages that are imported in the block, where one is missing.

    Args:
        extra: that has them.
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
            f"this network needs the package {missing}: pip install 'hyperdiag[{extra}]'"
        ) from error
