"""From columns to points: the matrix of network inputs, and the rows that cannot be one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from hyperdiag.messages.errors import Problems, closest, closest_or_all, listed

from .faults import Fault, Faults
from .numbers import is_text, mask, numbers_of, whole
from .reductions import over_rows


@dataclass(frozen=True)
class PointColumns:
    """Where the inputs of a network stand in a dataset.

    Attributes:
        inputs: names of the n inputs.
        columns: the column of each input; or the one column that holds whole points.
        vector: whether it is that one list or tensor column.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    vector: bool

    def read(self, table: pa.Table, dtype: str) -> tuple[np.ndarray, Faults]:
        """Return the points of a table, and what is wrong with them.

        Args:
            table: rows with the columns.
            dtype: "float32" or "float64".

        Returns:
            Points (rows, n), C-contiguous, finite where the row is good; and the faults.
        """
        faults = Faults(table.num_rows)
        if self.vector:
            column = table[self.columns[0]]
            order = _logical_order(column.type)
            return self._read_vector(whole(column), order, dtype, faults), faults
        at_once = self._read_at_once(table, dtype)
        if at_once is not None:
            return at_once, faults
        points = np.empty((table.num_rows, len(self.inputs)), dtype)
        for position, (name, column) in enumerate(zip(self.inputs, self.columns, strict=True)):
            what = f"input '{name}'" + (f" (column '{column}')" if column != name else "")
            points[:, position] = numbers_of(whole(table[column]), dtype, what, faults)
        return points, faults

    def _read_at_once(self, table: pa.Table, dtype: str) -> np.ndarray | None:
        """Return the points if all columns are of floats and all numbers finite: the usual case.

        A column after the other takes two to four times as long.
        """
        columns = table.select(self.columns)
        if not table.num_rows or not all(map(_is_float, columns.schema.types)):
            return None
        (batch,) = columns.combine_chunks().to_batches()
        tensor = batch.to_tensor(null_to_nan=True, row_major=True)
        with np.errstate(over="ignore"):
            points = tensor.to_numpy().astype(dtype, copy=False)
        return points if np.isfinite(points).all() else None

    def of_text(self, schema: pa.Schema) -> list["PointColumns"]:
        """Return those inputs, each by itself, whose columns hold text, perhaps of numbers."""
        if self.vector:
            parts = [self]
        else:
            pairs = zip(self.inputs, self.columns, strict=True)
            parts = [PointColumns([name], [column], False) for name, column in pairs]
        return [part for part in parts if is_text(_element(schema.field(part.columns[0]).type))]

    def of_any_width(self, schema: pa.Schema) -> bool:
        """Tell whether points are in lists of any length, which only reading them tells."""
        kind = _storage(schema.field(self.columns[0]).type)
        return self.vector and not pt.is_fixed_size_list(kind)

    def finer_than_float32(self, schema: pa.Schema) -> bool:
        """Tell whether a column has a type whose values float32 may have to round."""
        kinds = (_element(schema.field(column).type) for column in self.columns)
        return any(
            not (pt.is_boolean(kind) or pt.is_null(kind) or _within_float32(kind)) for kind in kinds
        )

    def _read_vector(
        self, array: pa.Array, order: np.ndarray | None, dtype: str, faults: Faults
    ) -> np.ndarray:
        (column,) = self.columns
        width = len(self.inputs)
        null = mask(array.is_null())
        faults.add(null, Fault.NULL, f"column '{column}' is null")
        if not pt.is_fixed_size_list(array.type):  # of fixed sizes, the product was checked before
            lengths = pc.fill_null(pc.list_value_length(array), width).to_numpy()
            details = [f"column '{column}' has {n} elements, not {width}" for n in lengths]
            faults.add(lengths != width, Fault.WRONG_WIDTH, details)
        points = np.zeros((len(array), width), dtype)
        usable = np.flatnonzero(~faults.bad)
        flat = _flattened(array.take(pa.array(usable)))
        while _is_list(flat.type):
            if flat.null_count:
                broken = np.zeros(len(array), dtype=bool)
                broken[usable[np.flatnonzero(mask(flat.is_null())) * usable.size // len(flat)]] = 1
                faults.add(broken, Fault.NULL, f"column '{column}' has a null inside")
                usable = np.flatnonzero(~faults.bad)
                flat = array.take(pa.array(usable))
            flat = _flattened(flat)
        if order is not None and len(flat):
            starts = np.arange(0, len(flat), order.size)[:, None]
            flat = flat.take(pa.array((starts + order).reshape(-1)))
        inner = Faults(len(flat))
        points[usable] = numbers_of(flat, dtype, "it", inner).reshape(-1, width)
        # Of a row the first alone, and each code once: every element of a batch may be bad.
        elements = np.flatnonzero(inner.bad)
        rows, first = np.unique(elements // width, return_index=True)
        codes, sentences = np.full((2, len(array)), None, dtype=object)
        for row, element in zip(usable[rows], elements[first].tolist(), strict=True):
            codes[row], detail = inner[element]
            place = f"input '{self.inputs[element % width]}' (in column '{column}')"
            sentences[row] = detail.replace("it", place, 1)
        for code in set(codes[usable[rows]]):
            faults.add(np.equal(codes, code), code, sentences)
        return points


def point_columns(
    inputs: Sequence[str],
    schema: pa.Schema,
    renames: Mapping[str, str],
    vector: str | None,
    where: str,
    network: str,
) -> PointColumns:
    """Find a network's inputs among a dataset's columns.

    Args:
        inputs: names of the inputs.
        schema: the dataset's columns.
        renames: {input: column} where the names differ.
        vector: the list or tensor column that holds whole points; None means a column each.
        where: the dataset, for messages.
        network: the network's name, for messages.

    Raises:
        UsageError: naming every input that has no column, or none that holds numbers.
    """
    problems = Problems()
    for name in renames.keys() - set(inputs):
        problems.add(
            f"dataset.columns renames '{name}', which is no input of network '{network}'"
            f"{closest(name, inputs)}; its inputs are {listed(inputs)}"
        )
    if vector is not None and renames:
        problems.add("dataset.vector and dataset.columns exclude each other: give one of them")
    columns = [vector] if vector is not None else [renames.get(name, name) for name in inputs]
    for name, column in zip(inputs, columns, strict=False):
        if column not in schema.names:
            said = "dataset.vector names" if vector else f"network '{network}' expects input"
            wanted = f"'{column}'" if vector or column == name else f"'{name}' as '{column}'"
            mend = "" if vector else f"; rename with dataset.columns={{{name}: <column>}}"
            others = closest_or_all(column, schema.names)
            problems.add(f"{said} {wanted}; {where} has no such column{others}{mend}")
            continue
        reason = unusable(schema.field(column).type, vector is not None, len(inputs))
        if reason:
            problems.add(f"column '{column}' of {where} {reason}")
    problems.check()
    return PointColumns(tuple(inputs), tuple(columns), vector is not None)


def unusable(tensor: pa.DataType, vector: bool, width: int) -> str | None:
    """Return why a column of a type holds no points, or no numbers; None if it may hold them.

    Args:
        tensor: the column's type.
        vector: whether whole points are wanted, and not a number.
        width: how many numbers make a point.
    """
    kind = _storage(tensor)
    if vector != _is_list(kind):
        return (
            f"is {kind}; dataset.vector needs a list or tensor column"
            if vector
            else f"is {kind}; if it holds whole points, say dataset.vector=<column>"
        )
    sizes, axes = _storage_axes(tensor)
    if any(axes[axis] != place for place, axis in enumerate(axes)):
        # pyarrow 26.0.1 writes the inverse of the permutation that the specification asks for, and
        # reads neither of the two: only where they are the same is it known what is meant.
        return (
            f"is {tensor}, whose permutation is not its own inverse, and readers differ on what "
            "that means; write it in row-major order (np.ascontiguousarray)"
        )
    fixed = [size for size in sizes if size >= 0]
    if len(fixed) < len(sizes) and len(sizes) > 1:
        return "holds lists of lists; nested ones must have fixed sizes"
    if fixed and prod(fixed) != width:
        return f"holds {prod(fixed)} numbers; the network has {width} inputs"
    kind = _element(kind)
    number = (
        pt.is_floating(kind)
        or pt.is_integer(kind)
        or pt.is_boolean(kind)
        or pt.is_decimal(kind)
        or pt.is_null(kind)
        or is_text(kind)
    )
    return None if number else f"is {kind}, which is no number; cast it to one"


def _logical_order(kind: pa.DataType) -> np.ndarray | None:
    """Return where the entries of a point, in row-major order, stand in storage: int64 (entries,).

    None where they are stored in that order. By Arrow's specification of fixed-shape tensors
    (https://arrow.apache.org/docs/format/CanonicalExtensions.html), `shape` is that of the storage,
    and axis i of the tensor is axis `permutation[i]` of the storage.
    """
    shape, axes = _storage_axes(kind)
    if axes == sorted(axes):
        return None
    return np.arange(prod(shape)).reshape(shape).transpose(axes).reshape(-1)


def _storage_axes(kind: pa.DataType) -> tuple[list[int], list[int]]:
    """Return the sizes of a point's axes in storage, -1 of a list of any length, and which of them
    each axis of the point is.
    """
    shape: list[int] = []
    axes: list[int] = []
    while _is_list(kind):
        sizes, permutation = [-1], None
        if isinstance(kind, pa.FixedShapeTensorType):
            sizes, permutation = kind.shape, kind.permutation
        elif pt.is_fixed_size_list(_storage(kind)):
            sizes = [_storage(kind).list_size]
        axes += [len(shape) + axis for axis in permutation or range(len(sizes))]
        shape += sizes
        kind = _storage(kind).value_type
    return shape, axes


def _flattened(array: pa.Array) -> pa.Array:
    """Return the elements of lists, of nulls none."""
    return (array.storage if isinstance(array, pa.ExtensionArray) else array).flatten()


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _element(kind: pa.DataType) -> pa.DataType:
    """Return the type of what a column holds, in however many lists."""
    kind = _storage(kind)
    while _is_list(kind) or pt.is_dictionary(kind):
        kind = _storage(kind.value_type)
    return kind


def _is_list(kind: pa.DataType) -> bool:
    kind = _storage(kind)
    return pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)


def _is_float(kind: pa.DataType) -> bool:
    return pt.is_float32(kind) or pt.is_float64(kind)


def _within_float32(kind: pa.DataType) -> bool:
    narrow = pt.is_float16(kind) or pt.is_float32(kind)
    return narrow or (pt.is_integer(kind) and kind.bit_width <= 16)


def fill_bad_rows(points: np.ndarray, bad: np.ndarray) -> None:
    """Overwrite bad rows with a good one, so that nothing odd reaches the kernel.

    Rows do not influence one another, but a NaN can slow a processor down and trip debug modes.
    """
    if bad.any():
        good = np.flatnonzero(~bad)
        points[bad] = points[good[0]] if good.size else 0


def count_outside(points: np.ndarray, low: np.ndarray, high: np.ndarray, bad: np.ndarray) -> int:
    """Return how many of the rows that are not bad have an input outside its trained range."""
    if not points.size or not (np.isfinite(low).any() or np.isfinite(high).any()):
        return 0
    # Where all are within, as a rule, the extremes tell so in a tenth of the time.
    ends = np.stack([over_rows(ufunc, points)[:, 0] for ufunc in (np.minimum, np.maximum)])
    if np.isfinite(ends).all() and not _outside(ends, low, high).any():
        return 0
    return int((_outside(points, low, high).any(axis=1) & ~bad).sum())


def refuse_outside(
    points: np.ndarray, low: np.ndarray, high: np.ndarray, inputs: Sequence[str], faults: Faults
) -> None:
    """Record the rows with an input outside its trained range as bad."""
    outside = _outside(points, low, high)
    bad = np.any(outside, axis=1)
    rows = np.flatnonzero(bad)
    details = np.full(len(points), None, dtype=object)
    for row, position in zip(rows, outside[rows].argmax(axis=1).tolist(), strict=True):
        details[row] = (
            f"input '{inputs[position]}' is {points[row, position]:g}, outside its trained range "
            f"[{low[position]:g}, {high[position]:g}]"
        )
    faults.add(bad, Fault.OUT_OF_RANGE, details)


def _outside(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    # The ends are rounded as the points were, so that rounding alone puts no point outside.
    with np.errstate(over="ignore"):
        return (points < low.astype(points.dtype)) | (points > high.astype(points.dtype))
