"""What is written of rows, as arrays with named axes."""

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.data.blocks import Block
from hyperdiag.data.layout import Layout
from hyperdiag.data.quantities import QUANTITIES

from .named_array import ROW, NamedArray

OUTPUT = "output"
_AXES = {"outputs": OUTPUT, "inputs": "input", "scenarios": "scenario", "ranks": "rank"}
_INPUTS = ("input", "other_input")  # of a Hessian, whose second axis has the names of the first


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
