"""The columns of the output: which there are, and how derivatives become Arrow arrays."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.messages.errors import UsageError, listed

WIDE_AT_MOST = 256  # derivative columns, beyond which `auto` takes the tensor layout
SOURCE_FILE, ROW_INDEX = "_source_file", "_row_index"


QUANTITIES = ("value", "jacobian", "hessian_diag", "laplacian", "hessian")
# What a run writes when nothing else is asked for.
USUAL = QUANTITIES[:3]


def quantity_shape(quantity: str, m: int, k: int) -> tuple[int, ...]:
    """Return the shape that a quantity has in each row, for m outputs and k directions."""
    return {
        "value": (m,),
        "jacobian": (m, k),
        "hessian_diag": (m, k),
        "laplacian": (m,),
        "hessian": (m, k, k),
    }[quantity]


def row_bytes(quantities: Sequence[str], m: int, k: int, dtype: str) -> int:
    """Return the bytes that the quantities of a row take in memory, m outputs and k directions."""
    numbers = sum(prod(quantity_shape(quantity, m, k)) for quantity in quantities)
    return numbers * np.dtype(dtype).itemsize


def column_names(quantity: str, outputs: Sequence[str], directions: Sequence[str]) -> list[str]:
    """Return the wide layout's columns of a quantity, in the order of its entries."""
    if quantity == "value":
        return list(outputs)
    if quantity == "laplacian":
        return [f"laplacian_{o}" for o in outputs]
    if quantity == "jacobian":
        return [f"d_{o}_d_{i}" for o in outputs for i in directions]
    if quantity == "hessian_diag":
        return [f"d2_{o}_d_{i}2" for o in outputs for i in directions]
    return [f"d2_{o}_d_{i}_d_{j}" for o in outputs for i in directions for j in directions]


def choose_layout(
    layout: str, n_outputs: int, n_directions: int, quantities: Sequence[str] = USUAL
) -> str:
    """Resolve `auto`: wide up to 256 derivative columns, else tensor."""
    if layout != "auto":
        return layout
    derivative_columns = sum(
        prod(quantity_shape(quantity, n_outputs, n_directions))
        for quantity in quantities
        if quantity != "value"
    )
    return "wide" if derivative_columns <= WIDE_AT_MOST else "tensor"


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
        quantities: what is written of each row, in this order: value, jacobian, hessian_diag,
            laplacian, hessian.
    """

    kind: str
    network: str
    digest: str
    outputs: Sequence[str]
    directions: Sequence[str]
    dtype: str
    passed: Sequence[pa.Field]
    provenance: bool
    quantities: Sequence[str] = USUAL

    @cached_property
    def computed(self) -> list[pa.Field]:
        """The fields of the quantities."""
        fields = self._tensors if self.kind == "tensor" else self._columns
        return [field for quantity in self.quantities for field in fields(quantity)]

    def _tensors(self, quantity: str) -> list[pa.Field]:
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        shape = quantity_shape(quantity, len(self.outputs), len(self.directions))
        for size in reversed(shape):
            kind = pa.list_(kind, size)
        inputs = () if quantity == "value" else None
        return [self._field(quantity, kind, shape=shape, inputs=inputs)]

    def _columns(self, quantity: str) -> list[pa.Field]:
        number = pa.from_numpy_dtype(np.dtype(self.dtype))
        every: list[tuple[str, ...]] = [(direction,) for direction in self.directions]
        if quantity == "value":
            every = [()]
        elif quantity == "laplacian":
            every = [tuple(self.directions)]
        elif quantity == "hessian":
            every = list(product(self.directions, repeat=2))
        owners = [(output, inputs) for output in self.outputs for inputs in every]
        names = column_names(quantity, self.outputs, self.directions)
        return [
            self._field(name, number, outputs=[output], inputs=inputs)
            for name, (output, inputs) in zip(names, owners, strict=True)
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

    def assemble(
        self,
        table: pa.Table,
        source_file: str,
        index: pa.Array,
        computed: Sequence[np.ndarray],
    ) -> pa.Table:
        """Join rows with their derivatives.

        Args:
            table: the dataset's columns, of these rows.
            source_file: where the rows come from.
            index: int64 (rows,), their place there.
            computed: an array (rows, ...) for each of `quantities`.

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
                # One transposition for all, so that each column is contiguous.
                flat = array.reshape(array.shape[0], prod(array.shape[1:]))
                columns += map(pa.array, np.ascontiguousarray(flat.T))
        return pa.table(columns, schema=self.schema)

    def arrays(self, table: pa.Table) -> tuple[np.ndarray, ...]:
        """Return the quantities (rows, ...) of rows of this layout: what `assemble` was given."""
        m, k = len(self.outputs), len(self.directions)
        found = []
        for quantity in self.quantities:
            shape = (table.num_rows, *quantity_shape(quantity, m, k))
            if self.kind == "tensor":
                column = table[quantity].combine_chunks()
                while pt.is_fixed_size_list(column.type):
                    column = column.flatten()
                found.append(column.to_numpy().reshape(shape))
            else:
                names = column_names(quantity, self.outputs, self.directions)
                flat = [table[name].to_numpy() for name in names]
                found.append(np.stack(flat, axis=1).reshape(shape))
        return tuple(found)


def float_leaves(schema: pa.Schema) -> list[str]:
    """Return the Parquet paths of a schema's floating-point leaves.

    A column with dots in its name may share the path of another one's leaf: such a path counts
    only if floats alone stand there.
    """
    others = set(other_leaves(schema))
    return [path for path, _ in _all_leaves(schema) if path not in others]


def other_leaves(schema: pa.Schema) -> list[str]:
    """Return the Parquet paths of the leaves that hold anything else."""
    return [
        path
        for path, kind in _all_leaves(schema)
        if not pt.is_floating(kind) or pt.is_float16(kind)
    ]


def _all_leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [leaf for field in schema for leaf in _leaves(field.name, field.type)]


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
