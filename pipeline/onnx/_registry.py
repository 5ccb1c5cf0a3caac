"""Which function computes an operator."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._node import Node

# From a node to its results: one array, or a tuple of them in the order of the node's outputs.
Operator = Callable[["Node"], Any]

STANDARD = ""  # the domain of the operators that have no other
ML = "ai.onnx.ml"  # of those that classical machine learning has

# {(domain, name): [(the first opset that has it like this, its function), ...]}, oldest first.
OPERATORS: dict[tuple[str, str], list[tuple[int, Operator]]] = {}


def operator(*names: str, since: int = 1, domain: str = STANDARD) -> Callable[[Operator], Operator]:
    """Return a decorator that makes a function that of the operators with these names.

    Args:
        names: of the operators.
        since: the first version of the operator set in which they are what the function computes.
        domain: of the operator set.
    """

    def enter(function: Operator) -> Operator:
        for name in names:
            versions = OPERATORS.setdefault((domain, name), [])
            versions.append((since, function))
            versions.sort(key=lambda version: version[0])
        return function

    return enter


def find_operator(domain: str, name: str, opset: int) -> Operator | None:
    """Return the function of an operator in a version of its operator set; None if unknown."""
    newest = None
    for since, function in OPERATORS.get((domain, name), []):
        if since <= opset:
            newest = function
    return newest
