"""The rules, one file for each family of primitives; importing this enters them all."""

from . import calls, control_flow, elementwise, linear, multilinear, reshape, scan

__all__ = ["calls", "control_flow", "elementwise", "linear", "multilinear", "reshape", "scan"]
