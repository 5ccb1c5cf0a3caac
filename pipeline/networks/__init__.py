"""Registered networks: what can be named in configuration, how it is built and checked."""

from .network import Network
from .registry import (
    build_network,
    float64_function,
    network_names,
    network_options,
    network_summary,
)

__all__ = [
    "Network",
    "build_network",
    "float64_function",
    "network_names",
    "network_options",
    "network_summary",
]
