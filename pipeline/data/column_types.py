"""One type for a column that files of a dataset hold in several, as other readers unify them."""

import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.messages.errors import InputError

_EXACT_INTEGER_BITS = {16: 8, 32: 16, 64: 32}  # which integers a float of so many bits holds


def unified_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both, as Arrow promotes them; None if there is none.

    Integers and floats become floats, timestamps take the finer unit, and a dictionary is but an
    encoding of its values. `conformed` checks that the values at hand do fit.
    """
    if first == second:
        return first
    if pt.is_dictionary(first) and pt.is_dictionary(second):
        values = unified_type(first.value_type, second.value_type)
        indices = _promoted(first.index_type, second.index_type)
        ordered = first.ordered and second.ordered
        return values and indices and pa.dictionary(indices, values, ordered)
    for kind, other in ((first, second), (second, first)):
        if pt.is_dictionary(kind) and not pt.is_null(other):
            return unified_type(kind.value_type, other)
        if pt.is_decimal(kind) and pt.is_floating(other):
            return None  # which rounds, and no reader says so
    return _promoted(first, second)


def _promoted(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    schemas = [pa.schema([("", kind)]) for kind in (first, second)]
    try:
        promoted = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        for kind in (first, second):  # to some types that it names, Arrow cannot cast
            pa.nulls(1, kind).cast(promoted)
    except pa.ArrowException:
        return None
    return promoted


def always_fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether every value of a type can be held in another, unchanged."""
    if kind == wanted or pt.is_null(kind):
        return True
    if pt.is_dictionary(kind):
        if not pt.is_dictionary(wanted):
            return always_fits(kind.value_type, wanted)
        indices_fit = always_fits(kind.index_type, wanted.index_type)
        return indices_fit and always_fits(kind.value_type, wanted.value_type)
    if pt.is_integer(kind) and pt.is_integer(wanted):
        signs = pt.is_signed_integer(kind), pt.is_signed_integer(wanted)
        more = wanted.bit_width - kind.bit_width
        return more >= 0 if signs[0] == signs[1] else signs[1] and more > 0
    if pt.is_integer(kind) and pt.is_floating(wanted):
        return kind.bit_width <= _EXACT_INTEGER_BITS[wanted.bit_width]
    if pt.is_floating(kind) and pt.is_floating(wanted):
        return kind.bit_width <= wanted.bit_width
    if _is_text(kind):
        return _is_text(wanted)
    if _is_list(kind) and (_is_any_list(wanted) or _same_size(kind, wanted)):
        return always_fits(kind.value_type, wanted.value_type)
    if pt.is_struct(kind) and pt.is_struct(wanted):
        names = [field.name for field in wanted]
        fits = (always_fits(f.type, wanted.field(f.name).type) for f in kind if f.name in names)
        return {field.name for field in kind} <= set(names) and all(fits)
    return False


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema, those that it lacks filled with nulls.

    Raises:
        InputError: naming the column with a value that does not fit its type.
    """
    if not len(schema):
        return table.select([])  # which keeps the number of its rows
    own = {field.name: field for field in table.schema}
    if all(f.name in own and own[f.name].type == f.type for f in schema):
        return table.select(schema.names)
    columns, fields = [], []
    for field in schema:
        if field.name not in own:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            fields.append(field)
            continue
        column = table[field.name]
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                raise InputError(
                    f"column '{field.name}' is {column.type} there and {field.type} in the dataset "
                    f"as a whole, and holds what that cannot ({str(error).splitlines()[0]}); write "
                    "the files with one type, or leave it out with output.columns"
                ) from error
        columns.append(column)
        # Not the schema's: what a file declares free of nulls, another need not.
        fields.append(own[field.name].with_type(field.type))
    return pa.table(columns, schema=pa.schema(fields))


def _is_text(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    return _is_any_list(kind) or pt.is_fixed_size_list(kind)


def _is_any_list(kind: pa.DataType) -> bool:
    return pt.is_list(kind) or pt.is_large_list(kind)


def _same_size(kind: pa.DataType, wanted: pa.DataType) -> bool:
    fixed = pt.is_fixed_size_list(kind) and pt.is_fixed_size_list(wanted)
    return fixed and kind.list_size == wanted.list_size
