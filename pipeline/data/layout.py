"""The columns of the output: which there are, and how derivatives become Arrow arrays."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf, prod
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.messages.errors import UsageError, listed

from .blocks import Block
from .quantities import DEFAULT, QUANTITIES, SEPARATOR

WIDE_AT_MOST = 256  # derivative columns, beyond which `auto` takes the tensor layout
SOURCE_FILE, ROW_INDEX = "_source_file", "_row_index"


def choose_layout(
    layout: str,
    n_outputs: int,
    n_directions: int,
    quantities: Sequence[str] = DEFAULT,
    derived: int = 0,
) -> str:
    """Resolve `auto`: wide up to 256 columns of derivatives and of what is derived, else tensor."""
    if layout != "auto":
        return layout
    derivative_columns = sum(
        prod(QUANTITIES[name].shape(n_outputs, n_directions))
        for name in quantities
        if QUANTITIES[name].derivative
    )
    return "wide" if derivative_columns + derived <= WIDE_AT_MOST else "tensor"


@dataclass(frozen=True)
class Layout:
    """The schema of the data files.

    Attributes:
        kind: "wide" (a flat column for each number) or "tensor" (nested lists of fixed size).
        network: its name, for the fields' metadata.
        digest: the network's, likewise.
        outputs: names of the m outputs.
        directions: names of the inputs that were differentiated with respect to.
        dtype: "float32" or "float64".
        passed: the fields of the dataset's columns that are passed through.
        provenance: whether `_source_file` and `_row_index` are written.
        quantities: what is written of each row, in this order: names of `QUANTITIES`.
        separator: between the parts of the name of a wide column, see `Quantity.column`.
        derived: what is written after the quantities.
    """

    kind: str
    network: str
    digest: str
    outputs: Sequence[str]
    directions: Sequence[str]
    dtype: str
    passed: Sequence[pa.Field]
    provenance: bool
    quantities: Sequence[str] = DEFAULT
    separator: str = SEPARATOR
    derived: Sequence[Block] = ()

    @cached_property
    def computed(self) -> list[pa.Field]:
        """The fields of the quantities, and of what is derived of them."""
        fields = self._tensors if self.kind == "tensor" else self._columns
        metadata = {"network": self.network, "digest": self.digest}
        return [
            *(field for name in self.quantities for field in fields(name)),
            *(
                field
                for block in self.derived
                for field in block.fields(self.kind == "tensor", self.dtype, metadata)
            ),
        ]

    def _tensors(self, name: str) -> list[pa.Field]:
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        shape = QUANTITIES[name].shape(len(self.outputs), len(self.directions))
        for size in reversed(shape):
            kind = pa.list_(kind, size)
        inputs = None if QUANTITIES[name].derivative else ()
        return [self._field(name, kind, shape=shape, inputs=inputs)]

    def _columns(self, name: str) -> list[pa.Field]:
        number = pa.from_numpy_dtype(np.dtype(self.dtype))
        quantity = QUANTITIES[name]
        return [
            self._field(
                quantity.column(self.separator, output, *inputs),
                number,
                outputs=[output],
                inputs=inputs,
            )
            for output in self.outputs
            for inputs in quantity.inputs(self.directions)
        ]

    def _field(
        self,
        name: str,
        kind: pa.DataType,
        outputs: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        shape: Sequence[int] = (),
    ) -> pa.Field:
        metadata = {
            "network": self.network,
            "digest": self.digest,
            "outputs": json.dumps(list(outputs or self.outputs)),
            "inputs": json.dumps(list(self.directions if inputs is None else inputs)),
            "shape": json.dumps(list(shape)),
        }
        if inputs == ():
            del metadata["inputs"]  # a value has no direction
        # Rows without one of these numbers are in quarantine: there is no null.
        return pa.field(name, kind, nullable=False, metadata=metadata)

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns, in their order: passed through, provenance, computed.

        Raises:
            UsageError: if two columns would have one name.
        """
        provenance = [pa.field(SOURCE_FILE, pa.string()), pa.field(ROW_INDEX, pa.int64())]
        fields = [*self.passed, *(provenance if self.provenance else []), *self.computed]
        twice = [n for n, count in Counter(field.name for field in fields).items() if count > 1]
        if twice:
            raise UsageError(
                f"the output would have two columns named {listed(twice)}: leave the dataset's "
                "out with output.columns=[...], or take output.layout=tensor"
            )
        return pa.schema(fields)

    @property
    def axes(self) -> pa.Table:
        """What the positions along the axes of tensors are, for readers that see no metadata.

        Returns:
            Columns `axis` ("output" or "input"), `position` (int64, from 0) and `name`.
        """
        names = {"output": self.outputs, "input": self.directions}
        rows = [(axis, at, name) for axis in names for at, name in enumerate(names[axis])]
        axis, position, name = zip(*rows, strict=True)
        return pa.table(
            {
                "axis": pa.array(axis, pa.string()),
                "position": pa.array(position, pa.int64()),
                "name": pa.array(name, pa.string()),
            }
        )

    def assemble(
        self,
        table: pa.Table,
        source_file: str,
        index: pa.Array,
        computed: Sequence[np.ndarray],
        derived: Sequence[np.ndarray] = (),
    ) -> pa.Table:
        """Join rows with their derivatives.

        Args:
            table: the dataset's columns, of these rows.
            source_file: where the rows come from.
            index: int64 (rows,), their place there.
            computed: an array (rows, ...) for each of `quantities`, in whatever order in memory.
            derived: an array (rows, *shape) for each block of `derived`, likewise.

        Returns:
            A table of this layout's schema.
        """
        columns: list[pa.Array | pa.ChunkedArray] = [table[field.name] for field in self.passed]
        if self.provenance:
            columns += [pa.repeat(source_file, table.num_rows), index]
        for array in computed:
            if self.kind == "tensor":
                arrow = pa.array(array.reshape(-1))
                for size in reversed(array.shape[1:]):
                    arrow = pa.FixedSizeListArray.from_arrays(arrow, size)
                columns.append(arrow)
            else:
                rows, width = array.shape[0], prod(array.shape[1:])
                # No copy where the rows of each number are side by side already.
                numbers = pa.array(np.ascontiguousarray(array.reshape(rows, width).T).reshape(-1))
                columns += [numbers.slice(at * rows, rows) for at in range(width)]
        columns += self.derived_columns(derived)
        return pa.table(columns, schema=self.schema)

    @property
    def derived_names(self) -> dict[str, tuple[str, ...]]:
        """The names of the columns of each kind of derived quantity."""
        names: dict[str, tuple[str, ...]] = {}
        for block in self.derived:
            own = [block.name] if self.kind == "tensor" else block.columns
            names[block.kind] = (*names.get(block.kind, ()), *own)
        return names

    def derived_columns(self, arrays: Sequence[np.ndarray]) -> list[pa.Array]:
        """Return the columns of derived arrays, one array (rows, *shape) for each block."""
        return [
            column
            for block, array in zip(self.derived, arrays, strict=True)
            for column in block.arrow(array, self.kind == "tensor")
        ]

    def arrays(self, table: pa.Table) -> tuple[np.ndarray, ...]:
        """Return the quantities (rows, ...) of rows of this layout: what `assemble` was given."""
        m, k = len(self.outputs), len(self.directions)
        arrays = []
        for name in self.quantities:
            quantity = QUANTITIES[name]
            if self.kind == "tensor":
                column = table[name].combine_chunks()
                while pt.is_fixed_size_list(column.type):
                    column = column.flatten()
                numbers = column.to_numpy()
            else:
                columns = quantity.columns(self.separator, self.outputs, self.directions)
                numbers = np.stack([table[column].to_numpy() for column in columns], axis=1)
            arrays.append(numbers.reshape(table.num_rows, *quantity.shape(m, k)))
        return tuple(arrays)


class Leaves(NamedTuple):
    """What a schema's leaves are to a Parquet writer.

    A column with dots in its name may share the path of another one's leaf: such a path counts as
    one of floats only if floats alone stand there.

    Attributes:
        floats: the paths of those that hold floating-point numbers of 32 or 64 bits.
        others: the paths of those that hold anything else.
        row_bytes: bytes of a row in all columns of fixed width, not nested, that hold no null.
        measured: the names of the other columns.
        most_row_bytes: what a row takes at most in all columns; infinite where any is nested or of
            no fixed width.
    """

    floats: Sequence[str]
    others: Sequence[str]
    row_bytes: float
    measured: Sequence[str]
    most_row_bytes: float


@lru_cache(maxsize=16)  # hundreds of columns take as long as an eighth of encoding a small shard
def leaves(schema: pa.Schema) -> Leaves:
    """Return the Parquet paths of a schema's leaves, by what they hold, and what a row takes."""
    every = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    others = {path for path, kind in every if not pt.is_floating(kind) or pt.is_float16(kind)}
    paths = list(dict.fromkeys(path for path, _ in every))
    row_bytes = sum(field.type.bit_width for field in schema if _is_plain(field)) / 8
    measured = [field for field in schema if not _is_plain(field)]
    return Leaves(
        tuple(path for path in paths if path not in others),
        tuple(path for path in paths if path in others),
        row_bytes,
        tuple(field.name for field in measured),
        row_bytes + sum(_most_bytes(field.type) for field in measured),
    )


def _is_plain(field: pa.Field) -> bool:
    return pt.is_primitive(field.type) and not field.nullable


def _most_bytes(kind: pa.DataType) -> float:
    """Return the bytes of a number at most, with its part of two bitmaps that begin and end amid
    bytes, which a row by itself may have.
    """
    return kind.bit_width / 8 + 4 if pt.is_primitive(kind) else inf


def _leaves(path: str, kind: pa.DataType) -> list[tuple[str, pa.DataType]]:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    if pt.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pt.is_map(kind):
        return [
            *_leaves(f"{path}.key_value.key", kind.key_type),
            *_leaves(f"{path}.key_value.value", kind.item_type),
        ]
    return [(path, kind)]
