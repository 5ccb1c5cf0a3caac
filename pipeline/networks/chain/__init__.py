"""Chains of layers, without code: what they are made of, their weights, their scaling."""

from ._build import build
from ._notation import parse_layers

__all__ = ["build", "parse_layers"]
