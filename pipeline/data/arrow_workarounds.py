"""What is worked round in Arrow, all seen in Arrow 26.0.1: each function says the reason."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


def without_views(schema: pa.Schema) -> pa.Schema:
    """Return a schema with `string` for `string_view` and `binary` for `binary_view`, at any depth,
    and `list` for a column's `list_view`.

    Arrow can neither filter nor take what holds views: its kernel for taking is not implemented.
    """
    fields = [field.with_type(_list_of_view(field.type) or field.type) for field in schema]
    return pa.schema([_plain_field(field) for field in fields], schema.metadata)


def _list_of_view(kind: pa.DataType) -> pa.DataType | None:
    """Return the list type with the elements of a list view's; None of what is no list view."""
    if pt.is_list_view(kind):
        return pa.list_(kind.value_field)
    return pa.large_list(kind.value_field) if pt.is_large_list_view(kind) else None


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_plain(field.type))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pt.is_string_view(kind):
        return pa.string()
    if pt.is_binary_view(kind):
        return pa.binary()
    if pt.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if pt.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pt.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pt.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pt.is_map(kind):
        key, item = _plain_field(kind.key_field), _plain_field(kind.item_field)
        return pa.map_(key, item, kind.keys_sorted)
    return kind


def cast_views(table: pa.Table) -> pa.Table:
    """Return a table of the schema `without_views`."""
    if not any(_holds_view(field.type) for field in table.schema):
        return table
    schema = without_views(table.schema)
    for position, field in enumerate(table.schema):
        kind = _list_of_view(field.type)
        if kind is not None:
            chunks = [_as_list(chunk, kind) for chunk in table.column(position).chunks]
            field = field.with_type(kind)
            table = table.set_column(position, field, pa.chunked_array(chunks, kind))
    return table if schema == table.schema else table.cast(schema)


@lru_cache(maxsize=256)
def _holds_view(kind: pa.DataType) -> bool:
    return _list_of_view(kind) is not None or _plain(kind) != kind


def _as_list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a list view as a list: Arrow's own cast gives offsets that lead anywhere."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    large = pt.is_large_list(kind)
    return (pa.LargeListArray if large else pa.ListArray).from_arrays(
        pa.array(offsets, pa.int64() if large else pa.int32()),
        array.flatten(),
        type=kind,
        mask=array.is_null(),
    )


def unsliced(table: pa.Table) -> pa.Table:
    """Return a table in which no matrix column is a slice.

    From a slice of fixed-size lists of fixed-size lists, Arrow takes and filters wrong numbers: it
    skips what is before the slice twice, and reads behind the end.
    """
    for position, field in enumerate(table.schema):
        if _holds_matrix(field.type):
            chunks = [unsliced_array(chunk) for chunk in table.column(position).chunks]
            table = table.set_column(position, field, pa.chunked_array(chunks, field.type))
    return table


def unsliced_array(array: pa.Array) -> pa.Array:
    """Return an array that is no slice of another, if it holds matrices."""
    if array.offset == 0 or not _holds_matrix(array.type):
        return array
    return pa.concat_arrays([array, array.slice(0, 0)])  # which copies; one alone is returned


@lru_cache(maxsize=256)
def _holds_matrix(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pt.is_fixed_size_list(kind):
        return pt.is_fixed_size_list(kind.value_type) or _holds_matrix(kind.value_type)
    return pt.is_struct(kind) and any(_holds_matrix(field.type) for field in kind)
