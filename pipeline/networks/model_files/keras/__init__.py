"""A network from a `.keras` file, as Keras 3 writes them."""

from ._build import build

__all__ = ["build"]
