"""Objects of a `.skops` file: their attributes as arrays, numbers and words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperdiag.messages.errors import first_line

from .file import SkopsError, SkopsFile


@dataclass(frozen=True)
class Function:
    """A function of a library, by its name there."""

    name: str


class Fitted:
    """An object of a file: a class's name, and what it holds.

    Args:
        file: that holds it.
        node: of the tree.
        where: it stands in the model, as in Python.
    """

    def __init__(self, file: SkopsFile, node: Mapping[str, Any], where: str = ""):
        self.file = file
        self.name: str = node["__class__"]
        self.where = where
        state = node.get("content") or {}
        self._attributes: Mapping[str, Any] = (
            state["content"] if state.get("__loader__") == "DictNode" else {}
        )
        file.used[where] = self.name

    def __str__(self) -> str:
        return f"{self.where} ({self.name})" if self.where else self.name

    def has(self, attribute: str) -> bool:
        """Return whether there is an attribute, and it is not None."""
        return self.get(attribute) is not None

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute as Python has it; the default where there is none."""
        if attribute not in self._attributes:
            return default
        return self._value(self._attributes[attribute], f"{self.where}.{attribute}".strip("."))

    def array(self, attribute: str, *axes: int) -> np.ndarray:
        """Return an attribute as an array of numbers, float64.

        Args:
            attribute: its name.
            axes: how many it may have; none for any number.

        Raises:
            SkopsError: if there is none, or it is none of numbers.
        """
        return numbers(self.get(attribute), f"{attribute} of {self}", *axes)

    def number(self, attribute: str) -> float:
        """Return an attribute as a number.

        Raises:
            SkopsError: if it is none.
        """
        return float(self.array(attribute, 0))

    def fitted(self, attribute: str) -> "Fitted":
        """Return an attribute that is an object.

        Raises:
            SkopsError: if it is none.
        """
        return self._object(self.get(attribute), attribute)

    def all_fitted(self, attribute: str) -> "list[Fitted]":
        """Return an attribute that is a list or array of objects.

        Raises:
            SkopsError: if it is none.
        """
        values = self.get(attribute)
        items = [*np.ravel(values)] if isinstance(values, np.ndarray) else values
        if not isinstance(items, list | tuple):
            raise self.damaged(attribute)
        return [self._object(item, attribute) for item in items]

    def damaged(self, attribute: str) -> SkopsError:
        """Return the error that says that an attribute is not there, or another thing."""
        return SkopsError(
            f"{attribute} of {self} is not there, or not what it should be: is it fitted?"
        )

    def refuse(self, what: str) -> SkopsError:
        """Return the error that says that something of this object is not computed here."""
        return SkopsError(
            f"{self}: {what} is not computed here; export the model with skl2onnx and take "
            "network=onnx, or write it as a function with network=python"
        )

    def _object(self, value: Any, attribute: str) -> "Fitted":
        if not isinstance(value, Fitted):
            raise self.damaged(attribute)
        return value

    def _value(self, node: Mapping[str, Any], where: str) -> Any:
        loader = node["__loader__"]
        if loader == "JsonNode":
            self.file.used[where] = node["content"]
            try:
                return json.loads(node["content"])
            except (ValueError, RecursionError) as error:
                raise SkopsError(f"{where} is damaged: {first_line(error)}") from error
        if loader == "NdArrayNode":
            if node["type"] == "numpy":
                array = self.file.array(node["file"])
                self.file.used[where] = array
                return array
            return self._several(node["content"], where)
        if loader in ("ListNode", "TupleNode"):
            return self._several(node["content"], where)
        if loader == "DictNode":
            return {
                key: self._value(each, f"{where}[{key!r}]") for key, each in node["content"].items()
            }
        if loader in ("FunctionNode", "TypeNode"):
            function = Function(f"{node['__module__']}.{node['__class__']}")
            self.file.used[where] = function.name
            return function
        return Fitted(self.file, node, where)

    def _several(self, nodes: list[Any], where: str) -> list[Any]:
        return [self._value(node, f"{where}[{at}]") for at, node in enumerate(nodes)]


def numbers(value: Any, what: str, *axes: int) -> np.ndarray:
    """Return a value as an array of numbers, float64.

    Args:
        value: whatever a file held.
        what: it is, for the error.
        axes: how many it may have; none for any number.

    Raises:
        SkopsError: if it is none of numbers, or has other axes.
    """
    if isinstance(value, np.ndarray | int | float | bool | list):
        try:
            array = np.asarray(value)
        except ValueError:  # rows of several lengths
            array = np.empty(0, "O")
        if array.dtype.kind in "biuf" and (not axes or array.ndim in axes):
            return array.astype(np.float64)
    raise SkopsError(f"{what} is no array of numbers, or has another shape: is it fitted?")
