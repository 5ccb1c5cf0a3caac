"""Columns that are derived from a row's value and derivatives: their names, types and metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from .quantities import SEPARATOR, labelled


class Axis(NamedTuple):
    """An axis of a block.

    Attributes:
        key: what its positions are, for metadata: "outputs", "inputs", "scenarios", "ranks".
        sign: what stands before a position's name in the name of a wide column.
        names: of its positions.
    """

    key: str
    sign: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Numbers of one meaning, or names: an array (rows, *shape).

    Attributes:
        name: of its column in the tensor layout, and the beginning of those of the wide layout.
        kind: of derived quantity that it belongs to.
        unit: of the numbers, for people.
        axes: that of the outputs first; none of a block that has a single entry in each row.
        labels: texts that an entry, a position, stands for; empty where entries are numbers.
    """

    name: str
    kind: str
    unit: str
    axes: tuple[Axis, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row's entries."""
        return tuple(len(axis.names) for axis in self.axes)

    @property
    def size(self) -> int:
        """How many entries a row has."""
        return prod(self.shape)

    @property
    def columns(self) -> list[str]:
        """The names of its columns in the wide layout, in the order of its entries.

        Such as `change1_price__in_crash__by_spot`; names are escaped as those of quantities are.
        """
        signs = [self.name, *(axis.sign for axis in self.axes[1:])]
        return [
            SEPARATOR.join(map(labelled, signs, names)) if names else self.name
            for names in product(*(axis.names for axis in self.axes))
        ]

    def fields(self, tensor: bool, dtype: str, metadata: Mapping[str, str]) -> list[pa.Field]:
        """Return the fields of its columns, declared free of nulls.

        Args:
            tensor: whether the layout is that of tensors: nested lists of fixed size.
            dtype: "float32" or "float64", of numbers.
            metadata: of every computed field.
        """
        kind = pa.string() if self.labels else pa.from_numpy_dtype(np.dtype(dtype))
        about = {**metadata, "derived": self.kind, "unit": self.unit}
        if tensor:
            for size in reversed(self.shape):
                kind = pa.list_(kind, size)
            named = {axis.key: json.dumps(axis.names) for axis in self.axes}
            about |= {**named, "shape": json.dumps(self.shape)}
            return [pa.field(self.name, kind, nullable=False, metadata=about)]
        return [
            pa.field(
                column,
                kind,
                nullable=False,
                metadata=about
                | {a.key: json.dumps([n]) for a, n in zip(self.axes, names, strict=True)}
                | {"shape": "[]"},
            )
            for column, names in zip(
                self.columns, product(*(axis.names for axis in self.axes)), strict=True
            )
        ]

    def arrow(self, array: np.ndarray, tensor: bool) -> list[pa.Array]:
        """Return its columns of an array (rows, *shape), in whatever order in memory."""
        if tensor:
            arrow = self._entries(np.ascontiguousarray(array).reshape(-1))
            for size in reversed(self.shape):
                arrow = pa.FixedSizeListArray.from_arrays(arrow, size)
            return [arrow]
        rows = array.shape[0]
        # No copy where the rows of each entry are side by side already.
        entries = np.ascontiguousarray(array.reshape(rows, self.size).T)
        return [self._entries(entry) for entry in entries]

    def _entries(self, array: np.ndarray) -> pa.Array:
        if not self.labels:
            return pa.array(array)
        return pa.array(self.labels, pa.string()).take(pa.array(array))
