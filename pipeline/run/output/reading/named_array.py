"""Arrays whose axes and positions have names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.data.blocks import Block
from hyperdiag.data.layout import Layout
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.messages.errors import UsageError, closest_or_all

ROW, OUTPUT = "row", "output"
_AXES = {"outputs": OUTPUT, "inputs": "input", "scenarios": "scenario", "ranks": "rank"}
_INPUTS = ("input", "other_input")  # of a Hessian, whose second axis has the names of the first


@dataclass(frozen=True, eq=False)
class NamedArray:
    """An array with named axes, as xarray has them, without xarray.

    `numpy.asarray(array)` is `array.values`.

    Attributes:
        values: the numbers, float32 or float64; or texts, as objects.
        dims: the name of each axis: "row", "output", "input", of a Hessian also "other_input"; of
            what is derived "scenario" and "rank", too.
        coords: {axis: the names of its positions}, of all axes but "row".
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers."""
        return self.values.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{d}: {size:,}" for d, size in zip(self.dims, self.shape, strict=True))
        return f"NamedArray({sizes}; {self.dtype})"

    def sel(self, **names: str | Sequence[str]) -> "NamedArray":
        """Return a part, by the names of outputs and inputs.

        Args:
            names: {axis: name}, whose axis goes, or {axis: names}, whose axis has these alone, in
                that order: `sel(output="price", input=["spot", "vol"])`.

        Raises:
            UsageError: if there is no such axis or name, with the closest that there is.
        """
        part = self
        for dim, wanted in names.items():
            part = part._sel_along(dim, wanted)
        return part

    def _sel_along(self, dim: str, wanted: str | Sequence[str]) -> "NamedArray":
        if dim == ROW:
            raise UsageError("rows have no names: take them from .values, by their numbers")
        if dim not in self.coords:
            raise UsageError(f"no axis '{dim}'{closest_or_all(dim, self.coords)}")
        known, axis = self.coords[dim], self.dims.index(dim)
        chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for name in chosen:
            if name not in known:
                raise UsageError(f"no {dim} '{name}'{closest_or_all(name, known)}")
        positions = [known.index(name) for name in chosen]
        if not isinstance(wanted, str):
            values = np.take(self.values, positions, axis)
            return replace(self, values=values, coords={**self.coords, dim: chosen})
        dims = self.dims[:axis] + self.dims[axis + 1 :]
        coords = {name: self.coords[name] for name in dims if name in self.coords}
        return NamedArray(np.take(self.values, positions[0], axis), dims, coords)

    def to_xarray(self) -> Any:
        """Return the same as an `xarray.DataArray`.

        Raises:
            UsageError: if xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise UsageError(
                "to_xarray() needs the package xarray: pip install xarray; numpy.asarray(...) and "
                "sel(...) do without"
            ) from error
        coords = {dim: list(names) for dim, names in self.coords.items()}
        return xarray.DataArray(self.values, coords=coords, dims=self.dims)


def axes_of(layout: Layout, name: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the axes of what is written of a row under a name: what they are, their positions.

    Args:
        layout: of the rows.
        name: of a quantity, or of a block of derived ones.
    """
    if name in layout.quantities:
        inputs = _INPUTS[: QUANTITIES[name].axes]
        directions = tuple(layout.directions)
        return [(OUTPUT, tuple(layout.outputs)), *((axis, directions) for axis in inputs)]
    (block,) = (block for block in layout.derived if block.name == name)
    return [(_AXES[axis.key], axis.names) for axis in block.axes]


def named_arrays(layout: Layout, table: pa.Table) -> dict[str, NamedArray]:
    """Return what is written of rows, by name: quantities, and blocks of derived ones.

    Args:
        layout: of the rows, with the quantities and blocks that are wanted.
        table: the rows, with the columns of these at least.
    """
    arrays = dict(zip(layout.quantities, layout.arrays(table), strict=True))
    arrays |= {block.name: _entries(layout, block, table) for block in layout.derived}
    named = {}
    for name, values in arrays.items():
        axes = axes_of(layout, name)
        named[name] = NamedArray(values, (ROW, *(axis for axis, _ in axes)), dict(axes))
    return named


def _entries(layout: Layout, block: Block, table: pa.Table) -> np.ndarray:
    """Return a block (rows, *shape) of rows: numbers, or texts as objects."""
    if layout.kind == "tensor":
        column = table[block.name].combine_chunks()
        while pt.is_fixed_size_list(column.type):
            column = column.flatten()
        entries = column.to_numpy(zero_copy_only=False)
    else:
        entries = np.stack([table[name].to_numpy() for name in block.columns], axis=1)
    return entries.reshape(table.num_rows, *block.shape)
