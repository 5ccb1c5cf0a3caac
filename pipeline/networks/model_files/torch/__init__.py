"""A network from a program that PyTorch exported, as `torch.export.save` writes it."""

from ._build import build

__all__ = ["build"]
